#pragma once

// The replica's side of replication for one shard: accepts writes (rule R2), answers reads, keeps
// hints for others. It answers for the seats this node holds at the moment of the answer, never for
// those it held when the request came in; a node without a seat still stores what it is sent (it
// may be filling), and counts for none.
//
// What peers ask for is admitted up to a number of bytes: requests in progress, and the records
// that reads hold while they wait. A request beyond it is refused at once (resource_exhausted,
// overloaded), so that its coordinator counts this replica as refusing, never as having the write,
// and may still reach its quorum with the others; it asks again by its timer.
//
// Owned by the shard's loop; callbacks run on it, possibly before the call returns.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/functional/any_invocable.h"

#include "base/byte_limit.h"
#include "node/replica/conflict_counter.h"
#include "node/replica/hint_store.h"
#include "node/replica/reception.h"
#include "node/replica/seat_set.h"
#include "node/replica/standing.h"
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
    // Unix milliseconds: the time by which request ids age. As RequestClock says, it never goes
    // back in the life of the process but by a step after which requests_from_ms() has risen.
    virtual uint64_t now_ms() const = 0;
    // Requests created before this are refused, however young they look.
    virtual uint64_t requests_from_ms() const { return 0; }
    virtual base::NodeId self() const = 0;
    // Whether other owners of the group may have what this one lacks, beyond what is on its way.
    virtual bool is_behind(GroupId) const { return false; }
    // A holder of the group lacks a write that is here, and no hint is kept of it.
    virtual void missed(GroupId, base::NodeId /*holder*/) {}
    // False: this node had no room for it on its way out, and dropped it. True promises nothing.
    virtual bool send(base::NodeId to, peer::ReplicaMessage message) = 0;

  protected:
    ~ReplicaHost() = default;
};

struct ReplicaLimits {
    // Of peers' requests in progress and of records that reads hold.
    uint64_t peer_bytes_max = 64ULL << 20;
};

class Replica {
  public:
    Replica(ReplicaStore& store,
            HintStore& hints,
            const Standings& standings,
            ReplicaHost& host,
            ReplicaLimits limits = {});
    ~Replica() { store_.count_waiting_reads_in(nullptr); }
    Replica(const Replica&) = delete;
    Replica& operator=(const Replica&) = delete;

    // WriteRequest, ReadRequest, HintRequest of a peer: answers with a message that repeats the
    // operation.
    void on_message(base::NodeId from, const peer::ReplicaMessage& message);
    // Held of peer_bytes_max, and how many requests it has refused.
    uint64_t peer_bytes() const { return peer_bytes_.bytes(); }
    uint64_t peer_requests_refused() const { return peer_bytes_.refused(); }

    struct Written {
        // Counted for.
        SeatSet seats;
        // Of the siblings of a repair those that are known here to be superseded (by what the
        // record says, or by R8: all owners have seen them, and they are not there any more).
        Context superseded = {};
    };
    // Once the record is durable here. unavailable: this node has no part in the group.
    using WriteDone = absl::AnyInvocable<void(absl::StatusOr<Written>)>;
    void write(GroupId group, std::string key, Record record, Carrier carrier, WriteDone done);

    struct Answer {
        Record record;
        SeatSet seats;
        bool is_behind = false;
    };
    using ReadDone = absl::AnyInvocable<void(absl::StatusOr<Answer>)>;
    // unavailable: no seat here.
    void read(GroupId group, const std::string& key, ReadDone done);

    // R7: forgets what it may of the record's superseded requests.
    void forget_old_requests(GroupId group, Record& record) const;

    ConflictCounter& conflicts() { return conflicts_; }

  private:
    // One request of a peer, from its admission to its answer.
    struct PeerRequest {
        base::NodeId from;
        uint64_t bytes = 0;
        peer::ReplicaMessage answer;
    };

    absl::Status accept(GroupId group,
                        const Carrier& carrier,
                        Record& local,
                        Record incoming,
                        Frontier& frontier) const;
    void on_write(PeerRequest request, const peer::ReplicaMessage& message);
    void on_written(GroupId group,
                    const std::string& key,
                    absl::StatusOr<Written> written,
                    PeerRequest request);
    Context superseded_of(GroupId group, const Record& local, const Record& incoming) const;
    void on_read(PeerRequest request, const peer::ReplicaMessage& message);
    void on_hint(PeerRequest request, const peer::ReplicaMessage& message);
    void answer(PeerRequest request);

    ReplicaStore& store_;
    HintStore& hints_;
    const Standings& standings_;
    ReplicaHost& host_;
    base::ByteLimit peer_bytes_;
    ConflictCounter conflicts_;
};

}  // namespace starling::node
