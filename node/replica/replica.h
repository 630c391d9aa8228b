#pragma once

// The replica's side of replication for one shard: accepts writes (rule R2), answers reads, keeps
// hints for others. It answers for the seats this node holds at the moment of the answer, never for
// those it held when the request came in; a node without a seat still stores what it is sent (it
// may be filling), and counts for none.
//
// Owned by the shard's loop; callbacks run on it, possibly before the call returns.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"

#include "node/replica/gone_horizon.h"
#include "node/replica/hint_store.h"
#include "node/replica/seat_set.h"
#include "node/replica/store.h"
#include "starling/peer/replica.pb.h"

namespace starling::node {

// What a replica asks of its node.
class ReplicaHost {
  public:
    // The seats of the partition this node is in HOLD of.
    virtual SeatSet held_seats(base::PartitionId partition) const = 0;
    // Whether this node holds or fills a seat of the group: then it stores what it is sent.
    virtual bool stores(GroupId group) const = 0;
    // The nodes, but for this one, that hold or are filling seats of the group.
    virtual std::vector<base::NodeId> other_owners(GroupId group) const = 0;
    // Unix milliseconds; never goes back in the life of the process.
    virtual uint64_t now_ms() const = 0;
    virtual base::NodeId self() const = 0;
    virtual void send(base::NodeId to, peer::ReplicaMessage message) = 0;

  protected:
    ~ReplicaHost() = default;
};

class Replica {
  public:
    Replica(ReplicaStore& store, HintStore& hints, GoneHorizon& horizon, ReplicaHost& host);

    // WriteRequest, ReadRequest, HintRequest of a peer: answers with a message that repeats the
    // operation.
    void on_message(base::NodeId from, const peer::ReplicaMessage& message);

    // The seats counted for, once the record is durable here. unavailable: this node has no part in
    // the group.
    using WriteDone = absl::AnyInvocable<void(absl::StatusOr<SeatSet>)>;
    // `dot`: the write the record was sent for; a seen one changes nothing. Without: any record,
    // merged.
    void write(
        GroupId group, std::string key, Record record, std::optional<Dot> dot, WriteDone done);

    struct Answer {
        Record record;
        SeatSet seats;
    };
    using ReadDone = absl::AnyInvocable<void(absl::StatusOr<Answer>)>;
    // unavailable: no seat here.
    void read(GroupId group, const std::string& key, ReadDone done);

    // What this node has minted in the group, for R7.
    peer::MintedReport minted_report(GroupId group);
    // Learns from a peer's report, then forgets what it may of the record's superseded requests.
    void note_minted(GroupId group, base::NodeId from, const peer::MintedReport& report);
    void forget_old_requests(GroupId group, Record& record) const;

  private:
    void on_write(base::NodeId from, const peer::ReplicaMessage& message);
    void on_read(base::NodeId from, const peer::ReplicaMessage& message);
    void on_hint(base::NodeId from, const peer::ReplicaMessage& message);

    ReplicaStore& store_;
    HintStore& hints_;
    GoneHorizon& horizon_;
    ReplicaHost& host_;
};

}  // namespace starling::node
