#pragma once

// A cluster of Gossip instances on simulated loops, with a wire of its own that loses, delays and
// cuts. Messages pass through their encoding, and through the checks that a node's envelope makes.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "env/sim/loop.h"
#include "env/sim/process.h"
#include "env/sim/random.h"
#include "env/sim/scheduler.h"
#include "gossip/gossip.h"

namespace starling::gossip {

using namespace std::chrono_literals;

class TestCluster;

class TestNode final : public GossipHost {
  public:
    TestNode(TestCluster& cluster, base::NodeId id);
    virtual ~TestNode() = default;

    void send(const env::Address& to, base::NodeId to_node, peer::GossipMessage message) override;
    void member_changed(const MemberRecord& now) override { changed.push_back(now); }
    void member_removed(const DeathCertificate& certificate) override {
        removed.push_back(certificate);
    }
    void liveness_changed(base::NodeId node, Liveness liveness) override;
    void item_changed(const std::string& key) override { items.push_back(key); }
    void persist(std::string state) override { persisted = std::move(state); }
    void identity_conflict(const MemberRecord& seen) override { conflicts.push_back(seen); }
    bool holds_data() override { return has_data; }
    void adopt_cluster(const JoinGrant& grant, AdoptDone done) override;

    // As a process starts: a new generation, with what was persisted.
    void start();
    void crash();
    // Begins again under another address.
    void restart_at(const env::Address& address);

    TestCluster& cluster;
    const base::NodeId id;
    env::SimProcess process;
    env::SimRandom random;
    std::unique_ptr<env::SimLoop> loop;
    std::unique_ptr<Gossip> gossip;
    ClusterIdentity identity;
    MemberRecord record;
    GossipOptions options;
    std::string persisted;
    bool has_data = false;
    absl::Status adopt_result;
    // Goes down between the durable adoption and its first word to anybody.
    bool fails_after_adoption = false;

    std::vector<MemberRecord> changed;
    std::vector<DeathCertificate> removed;
    std::vector<std::string> items;
    std::vector<MemberRecord> conflicts;
    struct LivenessEvent {
        env::SimTime at;
        base::NodeId node;
        Liveness liveness;
    };
    std::vector<LivenessEvent> liveness;
};

class TestCluster {
  public:
    explicit TestCluster(uint64_t seed) : random_(seed), wire_(random_.fork("wire")) {}

    static ClusterIdentity identity() {
        return {.id = base::ClusterId(77), .name = "flock", .partition_count = 256, .seats = 3};
    }

    TestNode& add() {
        const base::NodeId id(nodes_.size() + 1);
        nodes_.push_back(std::make_unique<TestNode>(*this, id));
        return *nodes_.back();
    }

    // `count` nodes that all know each other from the start.
    void start_members(size_t count) {
        for (size_t i = 0; i < count; ++i)
            add().record.state = MemberState::member;
        Membership all;
        for (const auto& node : nodes_) {
            node->record.generation = 1;
            if (!is_change(all.merge(node->record))) abort();
        }
        for (const auto& node : nodes_) {
            node->persisted = all.encode_state();
            node->start();
        }
    }

    TestNode& operator[](size_t i) { return *nodes_[i]; }
    size_t size() const { return nodes_.size(); }
    void run_for(base::Duration span) { scheduler.run_for(span); }
    // Runs until the condition holds; false when it did not within `limit`.
    template <typename Condition>
    bool run_until(base::Duration limit, Condition condition) {
        const env::SimTime end = scheduler.now() + limit;
        while (!condition()) {
            if (scheduler.now() >= end) return false;
            scheduler.run_for(50ms);
        }
        return true;
    }

    // One direction.
    void cut(const TestNode& from, const TestNode& to) { cuts_.insert({from.id, to.id}); }
    void heal() { cuts_.clear(); }
    // Another name of an address.
    void add_alias(const env::Address& alias, const env::Address& address) {
        aliases_[alias] = address;
    }

    void deliver(TestNode& from, const env::Address& to, base::NodeId to_node, std::string bytes);

    // Whether all running nodes hold the same membership state.
    bool has_converged() {
        std::set<uint64_t> hashes;
        for (const auto& node : nodes_) {
            if (node->gossip) hashes.insert(node->gossip->membership().hash());
        }
        return hashes.size() == 1;
    }
    bool all_hold(base::NodeId subject, Liveness liveness) {
        for (const auto& node : nodes_) {
            if (node->gossip && node->id != subject &&
                node->gossip->liveness(subject) != liveness) {
                return false;
            }
        }
        return true;
    }
    bool all_see_all_alive() {
        for (const auto& node : nodes_) {
            if (node->gossip && !all_hold(node->id, Liveness::alive)) return false;
        }
        return true;
    }
    size_t deaths_noticed() const {
        size_t deaths = 0;
        for (const auto& node : nodes_) {
            for (const auto& event : node->liveness)
                deaths += event.liveness == Liveness::dead;
        }
        return deaths;
    }

    env::SimScheduler scheduler;
    uint32_t loss_per_million = 0;
    // What the wire does to the bytes of a message.
    std::function<void(std::string&)> damage;
    uint64_t messages = 0;
    uint64_t bytes = 0;

  private:
    friend class TestNode;
    env::SimRandom random_;
    env::SimRandom wire_;
    std::vector<std::unique_ptr<TestNode>> nodes_;
    std::set<std::pair<base::NodeId, base::NodeId>> cuts_;
    std::map<env::Address, env::Address> aliases_;
};

inline TestNode::TestNode(TestCluster& owner, base::NodeId node)
    : cluster(owner),
      id(node),
      process(
          owner.scheduler, fmt::format("n{}", node.raw()), owner.random_.fork("node", node.raw())),
      random(owner.random_.fork("gossip", node.raw())),
      identity(TestCluster::identity()) {
    record.id = node;
    record.peer_address = fmt::format("10.0.0.{}:4000", node.raw());
    record.client_address = fmt::format("10.0.0.{}:3000", node.raw());
    record.software_version = "test";
}

inline void TestNode::send(const env::Address& to,
                           base::NodeId to_node,
                           peer::GossipMessage message) {
    cluster.deliver(*this, to, to_node, message.SerializeAsString());
}

inline void TestNode::liveness_changed(base::NodeId node, Liveness now) {
    liveness.push_back({cluster.scheduler.now(), node, now});
}

inline void TestNode::adopt_cluster(const JoinGrant& grant, AdoptDone done) {
    loop->schedule_after(5ms, [this, grant, done = std::move(done)]() mutable {
        if (adopt_result.ok()) {
            identity = grant.cluster;
            persisted = grant.membership.encode_state();
        }
        if (!fails_after_adoption) done(adopt_result);
    });
}

inline void TestNode::start() {
    if (!process.is_alive()) process.restart();
    loop = std::make_unique<env::SimLoop>(process);
    gossip = std::make_unique<Gossip>(options, *loop, random, *this);
    ++record.generation;
    record.version = 0;
    Membership restored;
    if (!persisted.empty()) {
        auto state = Membership::decode_state(persisted);
        if (!state.ok()) abort();
        restored = *std::move(state);
    }
    loop->run_here([&] { gossip->start(identity, record, std::move(restored)); });
}

inline void TestNode::crash() {
    process.crash();
    gossip.reset();
    loop.reset();
}

inline void TestNode::restart_at(const env::Address& address) {
    record.peer_address = address;
    start();
}

inline void TestCluster::deliver(TestNode& from,
                                 const env::Address& to,
                                 base::NodeId to_node,
                                 std::string content) {
    static const env::EventLabel label("wire");
    ++messages;
    bytes += content.size();
    if (wire_.chance(loss_per_million)) return;
    if (damage) damage(content);
    const auto alias = aliases_.find(to);
    const env::Address& address = alias == aliases_.end() ? to : alias->second;
    TestNode* receiver = nullptr;
    for (const auto& node : nodes_) {
        if (node->record.peer_address == address && node->gossip) receiver = node.get();
    }
    if (receiver == nullptr || cuts_.contains({from.id, receiver->id})) return;
    const base::ClusterId cluster_id = from.identity.id;
    scheduler.schedule_after(
        wire_.between(200us, 3ms),
        {.owner = receiver->process.owner(),
         .context = receiver->loop.get(),
         .label = &label,
         .task = [receiver, to_node, cluster_id, sender = from.id, content = std::move(content)] {
             peer::GossipMessage message;
             if (!receiver->gossip || !message.ParseFromString(content)) return;
             if (!to_node.is_none() && to_node != receiver->id) return;
             if (!crosses_clusters(message) && cluster_id != receiver->identity.id) return;
             receiver->gossip->on_message(sender, message);
         }});
}

}  // namespace starling::gossip
