#pragma once

// What the writers of one key tried, and what a read at rest may therefore return. Every value is
// unique, so a value names its write.
//
//   lost:        a value that was acknowledged is absent, and no write may have replaced it
//   resurrected: a value is present that an acknowledged write has replaced for certain
//   invented:    a value is present that nobody wrote, or whose write was refused
//
// Thread-safe.

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace starling::cluster_test {

enum class Outcome { acknowledged, unknown, refused };

struct Write {
    // Empty: a delete.
    std::string value = {};
    Outcome outcome = Outcome::unknown;
    // Values that are gone if this write exists.
    std::set<std::string> replaces = {};
    // Values that may be gone: the write was meant for them, and what it promises while stand-ins
    // count leaves it open.
    std::set<std::string> may_replace = {};
};

class Ledger {
  public:
    void add(const std::string& key, Write write);

    size_t acknowledged() const;
    size_t unknown() const;
    std::vector<std::string> keys() const;
    // What is wrong with these values of the key, one line each.
    std::vector<std::string> check(const std::string& key,
                                   const std::set<std::string>& values) const;

  private:
    size_t count(Outcome outcome) const;

    struct Entry {
        std::string key;
        Write write;
    };

    mutable absl::Mutex mutex_;
    std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::cluster_test
