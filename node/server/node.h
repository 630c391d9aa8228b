#pragma once

// One database node: opens its data, takes part in its cluster, answers requests. It is made of
// shards (each with a loop, an engine and the partitions p with p % shards == its index) and of
// what is the node's as a whole (membership, namespaces), which lives on the loop of shard 0. All
// I/O goes through NodeEnvironment, so that the same code runs in a process of its own and in the
// simulator.
//
// Life: constructed -> start() -> serving -> stop(done) -> destroyed. A simulated crash destroys it
// in any state, without stop(); nothing runs on its loops after that.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/file_system.h"
#include "env/random.h"
#include "env/transport.h"
#include "node/api.h"
#include "node/replica/group.h"
#include "node/server/options.h"
#include "node/version/frontier.h"

namespace starling::node {

struct ShardInspection;

struct NodeEnvironment {
    // One per shard; the first is also the transport's.
    std::vector<env::EventLoop*> loops;
    env::Workers* workers = nullptr;
    env::Transport* transport = nullptr;
    env::WallClock* wall_clock = nullptr;
    env::Random* random = nullptr;
    env::FileSystem* files = nullptr;
    // Where the node says what happened: severity ("info", "warning", "error") and one line of
    // text. Any thread.
    std::function<void(std::string_view severity, std::string_view line)> log;
    // The node should be stopped, in order, and a new one started: something here ends only with a
    // life of the node. Any thread, possibly more than once. May be null: then it goes on as it is.
    std::function<void()> want_new_life;
};

class Node final : public KvService, public AdminService {
  public:
    Node(NodeOptions options, NodeEnvironment environment);
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // Opens or creates the data, raises the generation durably, begins to serve and to gossip.
    // Blocks on disk. Call on loop 0, before any other loop runs tasks of this node. Errors name
    // the file or option that is wrong: failed_precondition for another engine, shard count,
    // cluster name, Q or seat count; data_loss for damage.
    absl::Status start();

    // Refuses new requests (reason stopping), lets those under way finish or reach their deadline,
    // makes everything durable, closes the engines; then calls `done` on loop 0. Any thread.
    void stop(std::function<void(absl::Status)> done);

    // KvService, AdminService: any thread.
    void put(PutRequest request, PutCallback done) override;
    void get(GetRequest request, GetCallback done) override;
    void join(std::string known_address, Callback<Joined> done) override;
    void status(Callback<StatusReport> done) override;
    void ring(Callback<std::vector<RingPartition>> done) override;
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) override;
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done) override;
    void inspect_replica(InspectRequest request, Callback<InspectResult> done) override;
    void list_conflicts(ConflictQuery query, Callback<ConflictPage> done) override;

    // For simulations and tests, on the one thread that runs all loops.
    void inspect(ShardInspection& out);
    // Null: this node holds no seat of the group, or is being refilled.
    const Frontier* owned_frontier(GroupId group);
    // What all owners of the group have seen, as this node concludes: it drops tombstones of that.
    // Null: as above, or it has nothing of the group.
    const Frontier* seen_by_all(GroupId group);
    // A member that it knows of.
    bool holds_dead(base::NodeId node) const;
    // It takes over again what its disk has lost, and answers for nothing of it.
    bool is_refilling(base::PartitionId partition) const;
    // Damage was met, and what it took has not all been refilled.
    bool is_healing() const;

    base::NodeId id() const;
    base::ClusterId cluster() const;
    // Serving requests: started, not stopping.
    bool is_ready() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace starling::node
