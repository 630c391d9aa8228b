#pragma once

// The node behind node.h: owns the shards and the cluster part, routes frames and requests between
// them and the loops they live on.

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_limit.h"
#include "node/canary/canary.h"
#include "node/server/cluster.h"
#include "node/server/node.h"
#include "node/server/shard.h"

namespace starling::node {

// To whoever asks while the node starts or stops.
absl::Status not_serving();

// node_impl.cc: how it starts and stops; node_data.cc: what it finds on the disk; node_frames.cc,
// node_cluster.cc, node_services.cc: what peers, the cluster part and clients ask of it.
class Node::Impl final : private ShardHost, private ClusterHost {
  public:
    Impl(NodeOptions options, NodeEnvironment environment);
    ~Impl();

    absl::Status start();
    void stop(std::function<void(absl::Status)> done);

    void put(PutRequest request, KvService::PutCallback done);
    void get(GetRequest request, KvService::GetCallback done);
    void join(std::string known_address, Callback<Joined> done);
    void status(Callback<StatusReport> done);
    void ring(Callback<std::vector<RingPartition>> done);
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done);
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done);
    void inspect_replica(InspectRequest request, Callback<InspectResult> done);
    void list_conflicts(ConflictQuery query, Callback<ConflictPage> done);
    void inspect(ShardInspection& out);
    const Frontier* owned_frontier(GroupId group);
    const Frontier* seen_by_all(GroupId group);
    bool holds_dead(base::NodeId node) const;
    bool is_refilling(base::PartitionId partition) const {
        return shards_[partition.raw() % shards_.size()]->is_refilling(partition);
    }
    bool is_healing() const;

    base::NodeId id() const { return node_id_; }
    base::ClusterId cluster() const { return base::ClusterId(cluster_id_.load()); }
    bool is_ready() const { return phase_ == Phase::serving; }

  private:
    // The node as its own client.
    class OwnRequests;

    // starting: inside start(), when no loop runs yet and all may be touched; seating: the loops
    // run, the seats of a new cluster are not durable yet.
    enum class Phase { constructed, starting, seating, serving, stopping, stopped };

    // ShardHost, on the shards' loops
    bool send_frame(const env::Address& to, std::string frame) override;
    void seats_changed(uint32_t shard,
                       base::ClusterId cluster,
                       std::vector<HeldSeat> held) override;
    void log(std::string_view severity, std::string_view line) override;
    void want_new_life(const std::string& why) override;
    // ClusterHost, on loop 0
    void view_changed(ClusterViewPtr view) override;
    void member_seats_changed(base::NodeId node, std::vector<HeldSeat> held) override;
    void peer_is_back(base::NodeId node) override;
    void persist_membership(std::string state) override;
    void enter_cluster(const Identity& identity,
                       std::string membership,
                       ClusterHost::Done done) override;
    void outlived(uint32_t generation) override;
    bool holds_data() override;

    // The end of enter_cluster(), when the shards are frozen.
    void store_cluster(const Identity& identity, std::string membership, ClusterHost::Done done);
    // A cluster that could not be stored may be on the disk all the same, or get there later: until
    // the former one is, over it, the shards stay frozen. What they took would be read by nobody
    // after the next start. Calls `done` then; not when the node is stopped before.
    void stay_in_cluster(const Identity& former,
                         std::string membership,
                         absl::AnyInvocable<void()> done);
    void unfreeze();
    void start_canary();
    // OK once durable.
    void store_membership(const std::string& state, ClusterHost::Done done);
    absl::Status open_shards();
    absl::StatusOr<Identity> settle_identity();
    absl::Status check_options() const;
    absl::Status check_stored(const Identity& stored, uint32_t shard) const;
    void serve_when_seated(bool is_alone);
    void on_delivery(const env::Delivery& delivery);
    void dispatch(peer::Envelope envelope, size_t frame_bytes, env::ConnectionId connection);
    void note_peer_clock(base::NodeId node, uint64_t wall_ms);
    void pass_on(uint32_t shard, base::NodeId from, peer::Envelope envelope, size_t frame_bytes);

    env::EventLoop& loop0() const { return *environment_.loops.front(); }
    uint32_t shard_count() const { return static_cast<uint32_t>(environment_.loops.size()); }
    // Runs `task` on a shard's loop: at once when this is it.
    void on_shard(uint32_t shard, absl::AnyInvocable<void(Shard&)> task);
    absl::AnyInvocable<void(Shard&)> while_serving(absl::AnyInvocable<void(Shard&)> task);
    uint32_t shard_of_key(const std::string& key) const;
    // Runs `ask` on every shard's loop, then `done` on loop 0 with the answers in order.
    template <typename T>
    void ask_all(const std::function<T(Shard&)>& ask,
                 absl::AnyInvocable<void(std::vector<T>)> done);

    void drain(base::MonotonicTime until, const std::function<void(absl::Status)>& done);
    void close_all(const std::function<void(absl::Status)>& done);
    StatusReport make_report(const std::vector<ShardStatus>& shards) const;

    // Constant after construction.
    const NodeOptions options_;
    const NodeEnvironment environment_;

    std::atomic<Phase> phase_ = Phase::constructed;
    base::NodeId node_id_;
    std::atomic<uint64_t> cluster_id_ = 0;
    std::atomic<uint32_t> partition_count_ = 1;
    // Searches under way. What a stopping node drops stays counted.
    std::atomic<uint32_t> conflict_scans_ = 0;

    // Owned by loop 0.
    std::unique_ptr<Cluster> cluster_;
    std::vector<std::vector<HeldSeat>> held_;
    uint64_t frames_malformed_ = 0;
    uint64_t frames_misdirected_ = 0;
    // Null where options say so.
    std::unique_ptr<OwnRequests> own_requests_;
    std::unique_ptr<Canary> canary_;

    // Each owned by its loop.
    std::vector<std::unique_ptr<Shard>> shards_;

    // Frames between loop 0, which the transport lives on, and the others. A frame that finds no
    // room is dropped and counted, as a network loses one: whoever waits for an answer repeats its
    // question. Any thread.
    base::ByteLimit frames_out_;
    // By shard.
    std::deque<base::ByteLimit> frames_in_;
    Lifeline lifeline_;
};

template <typename T>
void Node::Impl::ask_all(const std::function<T(Shard&)>& ask,
                         absl::AnyInvocable<void(std::vector<T>)> done) {
    struct Pending {
        std::vector<T> answers;
        uint32_t left = 0;
        absl::AnyInvocable<void(std::vector<T>)> done;
    };
    // Shared by the loops that are asked.
    auto pending = std::make_shared<Pending>();
    pending->answers.resize(shard_count());
    pending->left = shard_count();
    pending->done = std::move(done);
    for (uint32_t index = 0; index < shard_count(); ++index) {
        environment_.loops[index]->post([this, index, ask, pending] {
            T answer = ask(*shards_[index]);
            loop0().post([index, pending, answer = std::move(answer)]() mutable {
                pending->answers[index] = std::move(answer);
                if (--pending->left == 0) {
                    pending->done(std::move(pending->answers));
                }
            });
        });
    }
}

}  // namespace starling::node
