#pragma once

// Decides what a read returns: merges the answers by version (it counts replies, not equal values)
// and says which replicas are behind the result.
//
// States: collecting -> (repairing ->) settled. R answers that agree settle the read. Where they
// differ, the result may rest on fewer seats than any later read is sure to ask; a majority read is
// settled only once N-R+1 seats hold the result, so that what one such read returned no later one
// misses. A read of fewer answers is settled at once, unless they came together to siblings that
// none of them has beside each other: one may replace the other, which nobody need speak of any
// more by the time the last answer is given. Then one replica has to hold them, as long as that may
// be waited for. A settled read goes on collecting, so that late and stale replicas are repaired
// too.
//
// One answer that is all a read wants may be the one of a replica that was away and may lack writes
// that every other has. Such an answer waits for a better one, as long as one may come.
//
// A read of a session also waits until a replica that holds the very result reflects what the
// session has seen: the result's context covers it, or the replica vouches for it, whose frontier
// has all of it (then what its record does not mention any more is superseded there, I1 of
// docs/causality.md). Of another replica the word is not enough: what it has superseded, and does
// not speak of any more, an older answer may have brought into the result.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/coordinator/seat_tally.h"
#include "node/version/record.h"

namespace starling::node {

struct GetCoreOptions {
    uint32_t replicas = 3;
    uint32_t answers_wanted = 2;
    // What the read must reflect: what its session has seen of the key.
    Context seen = {};
};

class GetCore {
  public:
    explicit GetCore(GetCoreOptions options);

    // `digest` is the record's (0 for an absent key). Of siblings that a replica that has answered
    // has as well, the values may be left out.
    void answered(base::NodeId node,
                  SeatSet seats,
                  const Record& record,
                  uint64_t digest,
                  bool is_behind = false);
    // No better answers are to be waited for, nor repairs but those that a majority read promises.
    void wait_no_longer() { waits_no_longer_ = true; }
    // Whoever can answer now has; the result may still wait for a repair.
    void no_better_comes() { has_best_answer_ = true; }
    // Whether `node`, which has answered, has seen all of options.seen.
    void vouched(base::NodeId node, bool has_seen);

    // `node` has merged the result as it was when its digest was `digest`.
    void repaired(base::NodeId node, uint64_t digest);

    bool is_reached() const;
    // REQUIRES: is_reached().
    bool is_settled(uint64_t result_digest) const;
    bool reflects_seen(uint64_t result_digest) const;
    const Record& result() const { return result_; }
    uint32_t seats_counted() const { return tally_.seats(); }
    uint32_t nodes_counted() const { return tally_.nodes(); }
    bool all_answered() const { return tally_.missing().empty(); }
    bool waits_for_better() const {
        return options_.answers_wanted == 1 && !has_best_answer_ && !waits_no_longer_ &&
               !all_answered();
    }
    // Nodes whose record differs from the result: `result_digest` is the result's.
    std::vector<base::NodeId> stale(uint64_t result_digest) const;

  private:
    struct Answer {
        base::NodeId node;
        SeatSet seats;
        uint64_t digest = 0;
        bool has_seen = false;
    };

    const GetCoreOptions options_;
    SeatTally tally_;
    Record result_;
    bool waits_no_longer_ = false;
    // One that is not behind, or all that can come now.
    bool has_best_answer_ = false;
    // In order of arrival, one for each node.
    std::vector<Answer> answers_;
};

}  // namespace starling::node
