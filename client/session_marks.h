#pragma once

// What this client has written and read, as the tokens that nodes gave it for that: a request for a
// key carries those of the key, so that any node's answer is at least as new (docs/guarantees.md).
// An answer's token includes the tokens that its request sent, and takes their place; those that
// came meanwhile stay beside it.
//
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace starling::client {

// One key's part of a session, to be kept or handed on.
struct SessionMark {
    std::string name_space;
    std::string key;
    // One token or several, put together.
    std::string token;
};

class SessionMarks {
  public:
    // Of one key, below what a node takes; beyond it the oldest token of the key is forgotten. Only
    // hundreds of requests for one key at one moment get there.
    static constexpr size_t bytes_per_key_max = size_t{32} << 10;

    explicit SessionMarks(size_t keys_max) : keys_max_(keys_max) {}

    struct Sent {
        std::string token;
        // For learn(): which tokens these were.
        uint64_t up_to = 0;
    };
    Sent of(const std::string& name_space, const std::string& key) const;
    // The answer to a request that sent what of() said. An empty token changes nothing.
    void learn(const std::string& name_space,
               const std::string& key,
               uint64_t up_to,
               std::string token);

    // In the order of the last use, the oldest first.
    std::vector<SessionMark> all() const;
    // How often a key's tokens, or one of them, were forgotten for lack of room: from then on a
    // read of that key may be older than what was seen before.
    uint64_t forgotten() const;

  private:
    using Name = std::pair<std::string, std::string>;
    struct Token {
        uint64_t serial = 0;
        std::string bytes;
    };
    struct Key {
        std::deque<Token> tokens;
        size_t bytes = 0;
        std::list<Name>::iterator place;
    };

    static Name name_of(const std::string& name_space, const std::string& key);

    const size_t keys_max_;
    mutable absl::Mutex mutex_;
    std::map<Name, Key> keys_ ABSL_GUARDED_BY(mutex_);
    std::list<Name> by_use_ ABSL_GUARDED_BY(mutex_);
    uint64_t last_serial_ ABSL_GUARDED_BY(mutex_) = 0;
    uint64_t forgotten_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::client
