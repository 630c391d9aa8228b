#pragma once

// What the conflict policies promise beyond what History knows, from what clients saw.
//
// last_write_wins (I24): a read shows one value at most, and of the writes that it meets (see
// Oracle) none is later than the one shown; where nothing is shown, a delete may be later. "Later"
// is by hybrid time, then dot, as acknowledgements and reads tell them. Whoever has several dots
// has several times, so only writes are compared that were minted once: that came to one node,
// once, which coordinated them itself. A write of another kind that may have been minted since may
// have replaced the one that is missed, under a time that nobody knows.
//
// reject_stale (I25): an acknowledged write had seen each value that was acknowledged before it was
// sent, by so many seats that its exchange met one of them, if nothing else can have replaced that
// value meanwhile: no write that has seen it, and none without context that may have been minted
// since. That a refused write is never seen is I2.

#include <compare>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "node/version/dot.h"
#include "node/version/hybrid_time.h"
#include "tests/sim/history.h"

namespace starling::sim {

struct Stamp {
    node::HybridTime time;
    node::Dot dot;
    friend auto operator<=>(const Stamp&, const Stamp&) = default;
};

class LastWrites {
  public:
    void acknowledged(WriteId id, const Stamp& stamp) { stamps_.emplace(id, stamp); }
    // It has the one dot of its acknowledgement.
    void minted_once(WriteId id) { minted_once_.insert(id); }

    struct Shown {
        // None: nothing was shown.
        WriteId id;
        Stamp stamp;
    };
    // By the clocks, in Unix ms.
    struct Clocks {
        // What expires up to then may have: it counts as a delete of its own time.
        uint64_t expired_by_ms = 0;
        // Of deletes that were sent before nothing may be left that a later write is compared with:
        // that one may be shown even if it is the earlier one, as clocks may go back.
        uint64_t collected_before_ms = 0;
    };
    // What is wrong with a read that was answered at `answered`; empty: nothing. `met`: the
    // acknowledged writes that it has to reflect.
    std::string judge(const History& history,
                      const Shown& shown,
                      const std::vector<WriteId>& met,
                      SimTime answered,
                      const Clocks& clocks) const;
    // How often two writes were compared.
    uint64_t compared() const { return compared_; }

  private:
    bool is_certain(WriteId id) const { return minted_once_.contains(id) && stamps_.contains(id); }
    bool may_be_replaced_unknown(const History& history, WriteId id, SimTime answered) const;
    // With a delete (its own, or a later one) that nothing may be left of when a write is sent at
    // `by`.
    bool may_be_forgotten(const History& history,
                          WriteId id,
                          SimTime by,
                          const Clocks& clocks) const;
    bool may_be_deleted(const History& history,
                        WriteId id,
                        SimTime answered,
                        uint64_t expired_by_ms) const;

    std::map<WriteId, Stamp> stamps_;
    std::set<WriteId> minted_once_;
    mutable uint64_t compared_ = 0;
};

// The value that `id`, acknowledged at `now` in a reject_stale namespace, must have seen and has
// not; none when there is none. Nobody must have seen what has expired.
WriteId unseen_by_accepted(const History& history,
                           WriteId id,
                           SimTime now,
                           uint64_t expired_by_ms = 0);

}  // namespace starling::sim
