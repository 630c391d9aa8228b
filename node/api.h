#pragma once

// What the doors (gRPC, HTTP, later others) ask of a node. A door parses, calls and formats;
// everything that decides is behind these two interfaces. Calls may come from any thread; each
// callback runs once, on a thread of the node's, and must not block.
//
// Errors carry a reason of base/error.h. `deadline_exceeded` and `quorum_not_reached` leave the
// outcome unknown: the write may exist; trying again with the same request id is safe.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "base/time.h"
#include "node/version/dot.h"
#include "node/version/hybrid_time.h"

namespace starling::node {

struct RequestOptions {
    std::string name_space = "default";
    // 0 = the namespace's default R or W.
    uint32_t quorum = 0;
    // Zero = the node's default (2 s).
    base::Duration deadline{};
    // May nodes that hold no seat stand in for those that do? nullopt = the namespace's choice.
    std::optional<bool> sloppy;
    // Fill Receipt::replicas.
    bool explain = false;
};

struct PutRequest {
    RequestOptions options;
    std::string key;
    std::string value;
    // A delete: the write of a tombstone.
    bool is_delete = false;
    // What a read returned: supersede exactly that. Present and empty: "I have seen nothing".
    // Absent: supersede all that was acknowledged before.
    std::optional<std::string> context;
    // Without a context: supersede what the coordinating replica holds, without asking others.
    bool blind = false;
    // REQUIRED: the client's name for this write, the same in each retry.
    base::RequestId request;
    uint64_t expires_ms = 0;
    // Present, and empty at first: PutResult::session is wanted.
    std::optional<std::string> session = {};
};

struct GetRequest {
    RequestOptions options;
    std::string key;
    // Session tokens (node/version/session_token.h): the answer reflects what they have seen of the
    // key, or is `unavailable` with reason session_not_satisfied.
    std::optional<std::string> session = {};
};

enum class ReplicaState : uint8_t {
    durable,   // stored the write, synced
    hinted,    // a stand-in stored the write for it, synced
    answered,  // answered the read, as fresh as the result
    stale,     // answered the read with less than the result
    refused,   // answered that it holds no seat, or an error
    late,      // had not answered when the result was sent
};

struct ReplicaOutcome {
    base::NodeId node;
    std::vector<base::SeatIndex> seats;
    ReplicaState state = ReplicaState::late;
    // For `refused`: why. For `hinted`: which node it stands in for.
    std::string detail;
    base::Duration elapsed{};
};

struct Receipt {
    base::NodeId coordinator;
    base::PartitionId partition;
    // N of the namespace, the quorum asked for, the seats that answered, and on how many nodes
    // those are.
    uint32_t replicas_total = 0;
    uint32_t quorum = 0;
    uint32_t seats_answered = 0;
    uint32_t nodes_answered = 0;
    // Of `seats_answered`, those a stand-in answered for.
    uint32_t seats_hinted = 0;
    // The node that was asked first, when another one coordinated.
    std::optional<base::NodeId> forwarded_by;
    // Replicas found stale by a read and sent the result.
    uint32_t repairs_sent = 0;
    // Filled with options.explain.
    std::vector<ReplicaOutcome> replicas;
    base::Duration elapsed{};
};

struct PutResult {
    Dot dot;
    HybridTime time;
    // The request was already applied by an earlier try.
    bool is_repeat = false;
    std::string context;
    Receipt receipt;
    // What the request's session says of the key, and this write. Empty without a session.
    std::string session = {};
};

struct SiblingValue {
    std::string value;
    Dot dot;
    HybridTime time;
    uint64_t expires_ms = 0;
};

struct GetResult {
    // No values: the key is absent (never written, or deleted). One: the usual case. More:
    // siblings.
    std::vector<SiblingValue> values;
    std::string context;
    Receipt receipt;
    // What the request's session says of the key, and what this read returned.
    std::string session = {};
};

class KvService {
  public:
    using PutCallback = absl::AnyInvocable<void(absl::StatusOr<PutResult>)>;
    using GetCallback = absl::AnyInvocable<void(absl::StatusOr<GetResult>)>;

    virtual void put(PutRequest request, PutCallback done) = 0;
    virtual void get(GetRequest request, GetCallback done) = 0;

  protected:
    ~KvService() = default;
};

enum class ConflictPolicy : uint8_t { siblings, last_write_wins, reject_stale };
enum class Durability : uint8_t { sync, interval, memory };

struct NamespaceInfo {
    base::NamespaceId id;
    std::string name;
    uint32_t replicas = 3;
    uint32_t read_quorum = 2;
    uint32_t write_quorum = 2;
    ConflictPolicy policy = ConflictPolicy::siblings;
    Durability durability = Durability::sync;
    bool sloppy = true;
    uint32_t siblings_max = 64;

    friend bool operator==(const NamespaceInfo&, const NamespaceInfo&) = default;
};

struct MemberStatus {
    base::NodeId node;
    std::string client_address;
    std::string peer_address;
    std::string zone;
    uint32_t weight = 0;
    // "joining", "member", "leaving", "left".
    std::string state;
    // "alive", "suspect", "dead".
    std::string liveness;
    uint32_t seats_held = 0;
    uint32_t generation = 0;
};

// Of this node's replicas: tombstones that would be gone but for this node.
struct TombstonesWaiting {
    base::NodeId node;
    // Empty: it is not known.
    std::string client_address;
    // Older than 1 min after their requests could be minted no more, in the groups that wait for
    // the node. What waits for two nodes counts for both.
    uint64_t tombstones = 0;
    // Since the request was made for which one of them has waited longest.
    uint64_t waiting_ms = 0;
};

struct MemoryShare {
    std::string what;
    uint64_t bytes_used = 0;
    uint64_t bytes_max = 0;
};

struct StatusReport {
    base::NodeId node;
    base::ClusterId cluster;
    std::string cluster_name;
    std::string version;
    std::vector<MemberStatus> members;
    uint32_t partition_count = 0;
    uint32_t seat_count = 0;
    // Partitions of which fewer than `seat_count` distinct live nodes hold seats, and the least of
    // these counts.
    uint32_t partitions_short_of_copies = 0;
    uint32_t copies_min = 0;
    // Of this node.
    uint64_t hints = 0;
    uint64_t hint_bytes = 0;
    uint32_t seats_filling = 0;
    uint32_t seats_fenced = 0;
    // Groups of this node that are not known to be in step with each other owner.
    uint32_t groups_dirty = 0;
    uint64_t records = 0;
    bool read_only = false;
    std::string read_only_reason;
    // What was found damaged on this node's disk while its hash trees were rebuilt; empty: nothing.
    // Until the data is replaced, the node compares no group with others.
    std::string damage;
    std::vector<MemoryShare> memory;
    // Loud one-line warnings for people: "1 of 3 copies", "disk full", ...
    std::vector<std::string> warnings;
    // By node. One for which none wait is not among them.
    std::vector<TombstonesWaiting> tombstones_waiting;
    // Counters and gauges by Prometheus name; labels in the name's braces.
    std::map<std::string, double> metrics;
};

struct RingPartition {
    base::PartitionId partition;
    // The holder of each seat, none where nobody is known to hold it; and who should.
    std::vector<base::NodeId> holders;
    std::vector<base::NodeId> targets;
};

// One of three questions about this node's replica of a group: about `keys`, if there are any (at
// most 256); which keys with a value are in `buckets`, if there are any; about all buckets.
struct InspectRequest {
    struct Key {
        // A group key: namespace id (8 bytes, big-endian) and key.
        std::string key;
        // A context: of each actor the highest sequence. None of them 0; at most 4096.
        std::vector<Dot> seen = {};
    };
    base::PartitionId partition;
    // N of the group.
    uint32_t replicas = 0;
    // A set of buckets, as it travels (node/replica/group_access.h), and the key after which the
    // list begins; empty: with the first.
    std::string buckets = {};
    std::string after = {};
    std::vector<Key> keys = {};
    // With the question about all buckets: frontiers, encoded, at most 16 of 1 MiB.
    std::vector<std::string> frontiers = {};
};

struct InspectedVersion {
    Dot dot;
    HybridTime time;
    bool is_tombstone = false;
    bool is_hidden = false;
    uint64_t value_bytes = 0;
    uint64_t value_hash = 0;
};

struct InspectedKey {
    std::string key;
    // Of the values and their versions; 0: no value.
    uint64_t digest = 0;
    // The rest only of keys that were asked for by name.
    // The record's context.
    std::vector<Dot> context = {};
    std::vector<InspectedVersion> versions = {};
    // The replica has seen all of InspectRequest::Key::seen.
    bool reflects_seen = false;
};

struct InspectResult {
    // To the question about buckets: the sum of its records' digests.
    std::vector<uint64_t> buckets;
    // To the same question: what the replica has seen, encoded, and of each of the question's
    // frontiers whether it has seen all writes in it that are not of sealed lives.
    std::string frontier;
    std::vector<bool> has_seen;
    // In the order of the question, or of the keys.
    std::vector<InspectedKey> keys;
    // To the question about some buckets: the list goes up to this key; empty: it is complete.
    std::string up_to;
    // Of records and their keys, to answer.
    uint64_t bytes_read = 0;
};

// A key with more than one value to show, as one replica has it.
struct ConflictedKey {
    base::PartitionId partition;
    std::string key;
    uint32_t siblings = 0;
    // Of the values together.
    uint64_t value_bytes = 0;
    // The latest of their times.
    HybridTime latest;
};

// Where a search for conflicts goes on: partitions in order, in each the keys in order.
struct ConflictCursor {
    base::PartitionId partition{0};
    std::string key;
};

struct ConflictQuery {
    std::string name_space = "default";
    ConflictCursor from;
    // 1 .. conflicts_page_max.
    uint32_t keys_max = 100;
};
inline constexpr uint32_t conflicts_page_max = 1000;

struct ConflictPage {
    std::vector<ConflictedKey> keys;
    // Those of this node whose search ended in this page, wherever it began.
    std::vector<base::PartitionId> partitions;
    // Absent: this was the last page. A page may have no key and not be the last.
    std::optional<ConflictCursor> next;
};

class AdminService {
  public:
    template <typename T>
    using Callback = absl::AnyInvocable<void(absl::StatusOr<T>)>;
    struct Joined {
        base::ClusterId cluster;
        uint32_t member_count = 0;
    };

    // Makes this node, a cluster of one without data, a member of the cluster that `known_address`
    // (a peer address) belongs to. OK once the cluster's members and this node know each other;
    // seats arrive later.
    virtual void join(std::string known_address, Callback<Joined> done) = 0;
    virtual void status(Callback<StatusReport> done) = 0;
    virtual void ring(Callback<std::vector<RingPartition>> done) = 0;
    // `info.id` is ignored: the node draws one.
    virtual void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) = 0;
    virtual void list_namespaces(Callback<std::vector<NamespaceInfo>> done) = 0;
    // What this node's own replica of a group holds. unavailable with reason no_owner: no seat.
    virtual void inspect_replica(InspectRequest request, Callback<InspectResult> done) = 0;
    // The conflicts among the records that this node holds seats of: read from its disk, a bounded
    // number of bytes for each page. not_found: unknown_namespace; invalid_argument: the query;
    // overloaded: too many searches at once.
    virtual void list_conflicts(ConflictQuery query, Callback<ConflictPage> done) = 0;

  protected:
    ~AdminService() = default;
};

}  // namespace starling::node
