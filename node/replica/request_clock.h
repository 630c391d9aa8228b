#pragma once

// The time by which the ids of requests age (rule R7, docs/causality.md). A record forgets a
// superseded request once no owner takes that id any more, and owners have said so by reporting
// their time. So an owner that lets its time go back takes again what the others have forgotten: a
// late retry would bring back what was deleted. A wall clock may go back at any moment, so:
//
// 1. now_ms() follows the wall clock forward, at once: most steps forward are corrections.
// 2. While the wall clock is behind what was said before, now_ms() stands still. A step back of
//    less than `hold` is caught up with by then, and nobody notices.
// 3. When the wall clock has been behind for `hold`, the greater time was the wrong one, as far as
//    anybody can tell (a clock that was ten years ahead and has been set right). Then time goes
//    back, for once, and floor_ms() rises to the new time and twice the clock difference that is
//    allowed: what was forgotten meanwhile was created before that, and is refused. Without this a
//    node whose clock was once ahead would refuse all writes until it is started again.
//
// What cannot be covered: a clock that was right and stays behind for longer than `hold` brings
// back the time in which old ids were young, so an id that is retried so late is taken for new.
//
// Owned by the shard's loop.

#include <cstdint>

#include "base/time.h"

namespace starling::node {

class RequestClock {
  public:
    struct Options {
        base::Duration hold{};
        base::Duration drift_max{};
    };
    explicit RequestClock(Options options) : options_(options) {}

    // Unix milliseconds. `now` never goes back; `wall` may.
    uint64_t now_ms(base::MonotonicTime now, base::WallTime wall);
    // Requests created before this are refused, however young they look. 0: none.
    uint64_t floor_ms() const { return floor_ms_; }

    // How far the wall clock was behind at the last look; 0 when it was not.
    uint64_t behind_ms() const { return behind_ms_; }
    // How often time went back.
    uint64_t steps_back() const { return steps_back_; }

  private:
    const Options options_;
    uint64_t highest_ms_ = 0;
    uint64_t floor_ms_ = 0;
    uint64_t behind_ms_ = 0;
    // When the wall clock was first seen behind; meaningful while behind_ms_ > 0.
    base::MonotonicTime behind_since_;
    uint64_t steps_back_ = 0;
};

}  // namespace starling::node
