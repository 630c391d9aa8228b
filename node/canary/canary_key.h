#pragma once

// What the canary knows of one key, without I/O: which step comes next, what a read must return,
// and which promise is broken by what it did return.
//
// A put replaces what was acknowledged before it. A write that failed leaves the key *in doubt*: it
// may exist, or come to exist, and replace what is written meanwhile. It cannot any more once its
// request id is too old to be minted; so the key is only read until then, and the first put after
// that, when it is acknowledged, ends the doubt. The value of a failed write may show up beside
// others at any time.
//
// What an earlier life of the canary left under way may come to exist as well, and replace what
// this one writes in its first minutes: that these values are gone again proves nothing.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace starling::node {

enum class BrokenPromise : uint8_t {
    // An acknowledged value is not there, and nothing can have replaced it.
    lost_write,
    // A value is there that an acknowledged delete had replaced.
    deleted_returned,
    // A value is there that an acknowledged put had replaced: a majority read missed that, or
    // something brought the value back.
    stale_read,
};

class CanaryKey {
  public:
    // `values` begin with `life`, which no other canary, and no earlier life of this one, has.
    // `doubt`: how long after its failure a write may still come to exist. `born`: now, and
    // so not before this life began.
    CanaryKey(std::string name, std::string life, base::Duration doubt, base::MonotonicTime born)
        : name_(std::move(name)), life_(std::move(life)), doubt_(doubt), born_(born) {}

    const std::string& name() const { return name_; }

    enum class Step : uint8_t { put, remove, read };
    // By turns: put, read, put, read, remove, read; in doubt: read, or put when that may end it.
    Step next_step(base::MonotonicTime now) const;

    // The value of the put that begins.
    std::string begin_put(base::MonotonicTime now);
    void begin_remove(base::MonotonicTime now);
    void write_ended(bool is_acknowledged, base::MonotonicTime now);
    // What the read says is broken; nullopt: nothing.
    std::optional<BrokenPromise> read_ended(const std::vector<std::string>& values);
    void read_failed() { ++steps_; }

    // As if a write had failed now. REQUIRES: no write is under way.
    void put_in_doubt(base::MonotonicTime now);

    bool is_in_doubt() const { return doubtful_since_.has_value(); }
    // What a read should return, for people.
    std::string expected() const;

  private:
    struct Write {
        bool is_remove = false;
        std::string value;
        base::MonotonicTime begun;
    };

    const std::string name_;
    const std::string life_;
    const base::Duration doubt_;
    const base::MonotonicTime born_;
    uint64_t steps_ = 0;
    uint64_t serial_ = 0;
    std::optional<Write> under_way_;
    // When the last write failed.
    std::optional<base::MonotonicTime> doubtful_since_;
    // The value of the last acknowledged put, unless a delete was acknowledged after it.
    std::optional<std::string> current_;
    // No write of an earlier life can have replaced it.
    bool is_current_beyond_earlier_lives_ = false;
    // The last values that acknowledged puts, and deletes, have replaced.
    std::deque<std::string> replaced_;
    std::deque<std::string> deleted_;
};

}  // namespace starling::node
