#pragma once

// Stands outside the nodes, sees what clients send and receive, and says when a promise was broken.
// What a write may or must replace is History's matter; the rules for answers are here.
//
// A read *meets* an acknowledged write when it was sent after the acknowledgement and its R plus
// the write's strength (acknowledging seats up to W, hints not counted) exceeds N: their quorums
// share a seat. What a majority read returned counts from then on as acknowledged by N - R + 1
// seats: such a read is answered only when they hold it. When the cluster is quiet every read meets
// every acknowledged write, hinted or not, and every write ever read; but where a disk has lost
// data only what two seats had.
//
// For each read:
//   I2   each value was attempted on this very key, and sent before the read ended; none was
//   refused. I1   each write it meets is returned, or its absence is explained
//   (History::absence_explained). I3   nothing is returned that a write it meets must cover:
//   deleted and replaced values do not return. I15  no returned value must cover another: siblings
//   are truly concurrent. I8   no request id twice. I6   the context covers each returned dot, and
//   the dot of each acknowledgement that it meets, or names the request, unless every owner has
//   seen that dot (R8).
// For each put: I6 the context covers the dot, or names the request.
// For a sample of acknowledgements, at the moment when the node gives them (disk_audit.h): I10 a
// power cut of all nodes would leave the write for W seats, on as many machines as the receipt
// names. A value that expires (I26) is shown up to that by the clock of the node that answers and
// not from then on; its absence is explained by that clock, and from clock_drift_max after by any.
// For all: I7 a dot of a partition belongs to one request; I11 receipts: R or W seats
// answered, of this partition, stand-ins never counted for R. I24, I25: what the conflict policy of
// the namespace promises (policy_rules.h); of a last_write_wins key I24 takes the place of I1. I22:
// no write of such a key has a later time than the clocks of other nodes allow.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "node/api.h"
#include "node/replica/seat_set.h"
#include "node/version/record.h"
#include "tests/sim/history.h"
#include "tests/sim/policy_rules.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

using KeyIndex = base::StrongId<struct KeyIndexTag, uint32_t>;

struct OracleCounts {
    uint64_t puts_attempted = 0;
    uint64_t puts_acknowledged = 0;
    uint64_t puts_refused = 0;
    uint64_t reads_checked = 0;
    // Reads that had to reflect at least one acknowledged write.
    uint64_t reads_meeting = 0;
    uint64_t reads_with_siblings = 0;
    // Puts sent while another put of the same key was under way.
    uint64_t puts_contended = 0;
    uint64_t acknowledged_with_hints = 0;
    // Pairs of writes of which it was checked that the later one is shown.
    uint64_t last_writes_compared = 0;
    // Writes whose time was held against the clocks.
    uint64_t last_writes_timed = 0;
    // Of reject_stale keys.
    uint64_t puts_taken_as_current = 0;
    uint64_t puts_that_expire = 0;
    // Values that would have expired later, and writes that were missed because they may have.
    uint64_t shown_before_expiry = 0;
    uint64_t absent_after_expiry = 0;

    uint64_t checked() const { return puts_acknowledged + reads_checked; }
};

class Oracle {
  public:
    struct Key {
        std::string name_space;
        std::string key;
        base::PartitionId partition;
        // N of the namespace.
        uint32_t replicas = 0;
        node::ConflictPolicy policy = node::ConflictPolicy::siblings;
    };
    struct Read {
        SimTime sent{0};
        SimTime answered{0};
        // The R asked for.
        uint32_t quorum = 0;
        // After all faults have ended and the replicas have converged.
        bool quiet = false;
        // What the wall clock of the node that answered showed then (Unix ms). Of several answers
        // to one request: the extremes.
        uint64_t clock_low_ms = 0;
        uint64_t clock_high_ms = 0;
    };

    // Whether each owner of the key that is up has seen the write.
    using SeenByAll = std::function<bool(const Key& key, const node::Dot& dot)>;

    explicit Oracle(Verdict& verdict, SeenByAll seen_by_all = {})
        : verdict_(verdict), seen_by_all_(std::move(seen_by_all)) {}

    KeyIndex add_key(Key key);
    const Key& key(KeyIndex index) const { return keys_[index.raw() - 1].key; }
    size_t key_count() const { return keys_.size(); }
    static KeyIndex nth_key(size_t n) { return KeyIndex(static_cast<uint32_t>(n + 1)); }
    const History& history(KeyIndex index) const { return keys_[index.raw() - 1].history; }

    // The latest time (Unix ms) that any node's wall clock has shown.
    void clocks_showed(uint64_t highest_ms) { highest_clock_ms_ = highest_ms; }
    // The only copy of a write may have gone with it.
    void set_disk_lost_data(bool has_lost) { has_lost_a_disk_ = has_lost; }
    // What has expired for so long by the clock of an owner is removed.
    void set_removal_delay(uint64_t delay_ms) { removal_delay_ms_ = delay_ms; }
    // What expires up to then may be removed.
    uint64_t removed_by_ms() const {
        return highest_clock_ms_ - std::min(highest_clock_ms_, removal_delay_ms_);
    }
    // The latest time (Unix ms) that a last_write_wins write may have which the coordinator of the
    // next acknowledgement has minted.
    void clocks_allow(uint64_t latest_ms) { latest_write_ms_ = latest_ms; }
    void set_request_window(uint64_t window_ms) { request_window_ms_ = window_ms; }
    // Tombstones of requests of before may be collected.
    uint64_t collected_before_ms() const {
        return highest_clock_ms_ - std::min(highest_clock_ms_, request_window_ms_);
    }
    // What expires up to then may be absent from the read.
    uint64_t expired_by_ms(const Read& read) const {
        return std::max(read.clock_high_ms, removed_by_ms());
    }

    WriteId put_sent(KeyIndex index, Write write, const std::vector<WriteId>& seen);
    // `seen`: what the result's token says, opened with the cluster's secret.
    void put_acknowledged(KeyIndex index,
                          WriteId id,
                          SimTime now,
                          const node::PutResult& result,
                          const node::Superseded& seen);
    // It was acknowledged, and has one dot only.
    void put_minted_once(KeyIndex index, WriteId id) { state(index).last_writes.minted_once(id); }
    // No try can have written, nor ever will.
    void put_refused(KeyIndex index, WriteId id);
    // No further dot of it is minted after `last_mint`.
    void put_settled(KeyIndex index, WriteId id, SimTime last_mint);

    // Returns the writes it returned. `seen`: what the result's token says.
    std::vector<WriteId> read_answered(KeyIndex index,
                                       const Read& read,
                                       const node::GetResult& result,
                                       const node::Superseded& seen);

    // Where a power cut of all nodes at the moment of an acknowledgement would leave the write.
    struct DurableCopies {
        // By their holders, or as hints for them.
        node::SeatSet seats = {};
        uint32_t machines = 0;
    };
    static bool are_enough(const DurableCopies& copies,
                           uint32_t quorum,
                           const node::Receipt& receipt);
    // All disks were looked at, at the moment when a node acknowledged the write.
    void disks_inspected(KeyIndex index,
                         WriteId id,
                         uint32_t quorum,
                         const node::Receipt& receipt,
                         const DurableCopies& copies);

    // What one owner's disk holds of a key when the cluster is quiet.
    void replica_inspected(KeyIndex index,
                           const std::vector<std::string>& values,
                           std::string_view where,
                           SimTime now);

    const OracleCounts& counts() const { return counts_; }
    // The writes of a key, one a line, for a failed run.
    std::string describe_key(KeyIndex index) const;

  private:
    // The dot under which a write was acknowledged. A repeat of the request may be acknowledged
    // under another one, by fewer seats: what later reads owe to a dot follows from its own
    // acknowledgement.
    struct AcknowledgedDot {
        node::Dot dot;
        SimTime acknowledged;
        // As Write::strength.
        uint32_t strength;
        // Every owner was found to have seen it.
        bool is_seen_by_all = false;
    };
    struct KeyState {
        Key key;
        History history;
        std::map<WriteId, AcknowledgedDot> dots;
        LastWrites last_writes = {};
        uint32_t under_way = 0;
    };
    // Dots are unique within a group: a partition and an N.
    using GroupDot = std::tuple<base::PartitionId, uint32_t, node::Dot>;

    KeyState& state(KeyIndex index) { return keys_[index.raw() - 1]; }
    void report(std::string_view invariant, KeyIndex index, std::string_view what);
    void learn_dot(KeyIndex index, WriteId id, const node::Dot& dot);
    void check_acceptance(KeyIndex index, WriteId id, SimTime now, const node::PutResult& result);
    void check_time(KeyIndex index, WriteId id, const node::PutResult& result);
    void check_receipt(KeyIndex index, const node::Receipt& receipt, uint32_t quorum, bool is_read);
    std::vector<WriteId> identify(KeyIndex index,
                                  SimTime answered,
                                  const std::vector<std::string>& values);
    bool shares_a_seat(const KeyState& state,
                       const Read& read,
                       SimTime since,
                       uint32_t strength) const;
    // Acknowledged or shown.
    bool meets(const KeyState& state, const Read& read, WriteId id) const;
    bool must_show(const KeyState& state, const Read& read, WriteId id) const;
    void check_presence(KeyIndex index, const Read& read, const std::vector<WriteId>& present);
    void check_expiry(KeyIndex index,
                      const Read& read,
                      const node::SiblingValue& sibling,
                      WriteId id);
    void check_superseded(KeyIndex index, const Read& read, const std::vector<WriteId>& present);
    // Of a last_write_wins key.
    void check_last(KeyIndex index,
                    const Read& read,
                    const node::GetResult& result,
                    const std::vector<WriteId>& present);
    bool is_last_write_wins(KeyIndex index) const {
        return key(index).policy == node::ConflictPolicy::last_write_wins;
    }

    Verdict& verdict_;
    const SeenByAll seen_by_all_;
    std::vector<KeyState> keys_;
    std::map<GroupDot, std::pair<KeyIndex, WriteId>> dot_owners_;
    OracleCounts counts_;
    uint64_t highest_clock_ms_ = 0;
    bool has_lost_a_disk_ = false;
    uint64_t removal_delay_ms_ = 0;
    uint64_t request_window_ms_ = UINT64_MAX;
    uint64_t latest_write_ms_ = UINT64_MAX;
};

// A key or value as a short printable word.
std::string printable(std::string_view bytes);

}  // namespace starling::sim
