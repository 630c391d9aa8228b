#pragma once

// The coordinator of one node, with a store of its own and peers that are the test: what it sends
// is kept, and the test answers for them. One partition; its seats are held as placement says.

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "env/sim/clock.h"
#include "node/coordinator/coordinator.h"
#include "node/replica/wire.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node::testing {

inline constexpr base::WallTime start_of_run{std::chrono::hours(1)};
inline constexpr base::PartitionId the_partition{0};
inline constexpr GroupId the_group{the_partition, 3};

struct Sent {
    base::NodeId to;
    peer::ReplicaMessage message;
};

class FakePeers final : public ReplicaHost {
  public:
    explicit FakePeers(const env::WallClock& clock) : clock_(clock) {}
    SeatSet held_seats(base::PartitionId) const override { return held; }
    bool stores(GroupId) const override { return !held.empty(); }
    uint64_t now_ms() const override { return base::to_unix_ms(clock_.wall_now()); }
    uint64_t requests_from_ms() const override { return requests_from; }
    base::NodeId self() const override { return node; }
    bool is_behind(GroupId) const override { return behind; }
    void missed(GroupId group, base::NodeId holder) override { told.emplace_back(group, holder); }
    bool send(base::NodeId to, peer::ReplicaMessage message) override {
        EXPECT_NE(to, node) << "a message to itself";
        if (sent.size() >= room) return false;
        sent.push_back({to, std::move(message)});
        return true;
    }

    base::NodeId node;
    SeatSet held;
    uint64_t requests_from = 0;
    bool behind = false;
    std::vector<std::pair<GroupId, base::NodeId>> told;
    // For so many that were not taken from here.
    size_t room = SIZE_MAX;
    std::vector<Sent> sent;

  private:
    const env::WallClock& clock_;
};

class CoordinatorRig {
  public:
    // This node holds seat 0, or none.
    explicit CoordinatorRig(uint64_t members = 3, bool is_holder = true)
        : CoordinatorRig(members, is_holder, CoordinatorOptions{}) {}

    CoordinatorRig(uint64_t members, bool is_holder, CoordinatorOptions options)
        : coordinator({.options = options,
                       .actor = {},
                       .loop = store_rig.loop,
                       .random = random,
                       .wall_clock = wall_clock,
                       .store = store_rig.store,
                       .hints = hints,
                       .replica = replica,
                       .host = peers,
                       .hybrid_clock = hybrid_clock,
                       .clock_fence = clock_fence,
                       .latency = latency,
                       .sealer = sealer,
                       .sessions = sessions,
                       .retire = {},
                       .view = make_view(members, is_holder)}) {
        coordinator.set_view(view);
    }

    base::NodeId holder(uint8_t seat) const {
        return view->holder(the_partition, base::SeatIndex(seat));
    }
    std::vector<base::NodeId> stand_ins() const { return view->stand_ins(the_partition, 3); }

    // Changes the view as `change` says and hands it to the coordinator.
    void change_view(const std::function<void(ClusterView&)>& change) {
        auto changed = std::make_shared<ClusterView>(*view);
        change(*changed);
        view = changed;
        coordinator.set_view(view);
    }
    void set_health(base::NodeId node, PeerHealth health) {
        change_view([&](ClusterView& changed) { changed.peers[node].health = health; });
    }
    void set_holder(uint8_t seat, base::NodeId node) {
        change_view([&](ClusterView& changed) { changed.holders[seat] = node; });
    }

    PutRequest put_request(const std::string& key, const std::string& value) {
        PutRequest request;
        request.key = key;
        request.value = value;
        request.request = {.created_ms = peers.now_ms(), .random_high = 1, .random_low = ++ids_};
        return request;
    }

    struct PutOutcome {
        std::optional<absl::StatusOr<PutResult>> result;
        int calls = 0;
    };
    std::shared_ptr<PutOutcome> put(PutRequest request) {
        auto outcome = std::make_shared<PutOutcome>();
        coordinator.put(std::move(request), [outcome](absl::StatusOr<PutResult> result) {
            outcome->result = std::move(result);
            ++outcome->calls;
        });
        return outcome;
    }
    std::shared_ptr<PutOutcome> put(const std::string& key, const std::string& value) {
        return put(put_request(key, value));
    }
    // Without the exchange before.
    std::shared_ptr<PutOutcome> put_blind(const std::string& key, const std::string& value) {
        PutRequest request = put_request(key, value);
        request.blind = true;
        return put(std::move(request));
    }

    struct GetOutcome {
        std::optional<absl::StatusOr<GetResult>> result;
        int calls = 0;
    };
    std::shared_ptr<GetOutcome> get(const std::string& key, uint32_t quorum = 0) {
        auto outcome = std::make_shared<GetOutcome>();
        GetRequest request;
        request.key = key;
        request.options.quorum = quorum;
        coordinator.get(std::move(request), [outcome](absl::StatusOr<GetResult> result) {
            outcome->result = std::move(result);
            ++outcome->calls;
        });
        return outcome;
    }

    // Runs disk jobs and what is due now, without letting time pass.
    void settle() {
        do {
            store_rig.scheduler.run_until(store_rig.scheduler.now());
        } while (store_rig.workers.run_one());
    }
    // The same, through `span` of time.
    void pass(base::Duration span) {
        settle();
        store_rig.scheduler.run_for(span);
        settle();
    }

    // What was sent since the last call.
    std::vector<Sent> take_sent() { return std::exchange(peers.sent, {}); }
    // The message of a kind to `node` among those sent; fails when there is not exactly one.
    static peer::ReplicaMessage only(const std::vector<Sent>& sent,
                                     base::NodeId node,
                                     peer::ReplicaMessage::BodyCase kind) {
        std::vector<peer::ReplicaMessage> found;
        for (const Sent& one : sent) {
            if (one.to == node && one.message.body_case() == kind) {
                found.push_back(one.message);
            }
        }
        EXPECT_EQ(found.size(), 1u);
        return found.empty() ? peer::ReplicaMessage() : found.front();
    }
    static size_t count(const std::vector<Sent>& sent, peer::ReplicaMessage::BodyCase kind) {
        return static_cast<size_t>(std::count_if(sent.begin(), sent.end(), [&](const Sent& one) {
            return one.message.body_case() == kind;
        }));
    }

    static peer::ReplicaMessage answer_to(const peer::ReplicaMessage& question) {
        peer::ReplicaMessage answer;
        answer.set_partition(question.partition());
        answer.set_replicas(question.replicas());
        answer.set_operation(question.operation());
        return answer;
    }
    static SeatSet seat(uint8_t index) { return SeatSet::of(base::SeatIndex(index)); }

    void acknowledge(base::NodeId from, const peer::ReplicaMessage& question, SeatSet seats) {
        peer::ReplicaMessage answer = answer_to(question);
        answer.mutable_write_reply()->set_seats(seats.bits());
        coordinator.on_message(from, answer);
    }
    void answer_read(base::NodeId from,
                     const peer::ReplicaMessage& question,
                     SeatSet seats,
                     const Record& record) {
        peer::ReplicaMessage answer = answer_to(question);
        answer.mutable_read_reply()->set_seats(seats.bits());
        if (!(record == Record{})) {
            answer.mutable_read_reply()->set_record(wire::encode(record));
        }
        coordinator.on_message(from, answer);
    }
    void answer_same(base::NodeId from,
                     const peer::ReplicaMessage& question,
                     SeatSet seats,
                     const Context& context = {}) {
        peer::ReplicaMessage answer = answer_to(question);
        answer.mutable_read_reply()->set_seats(seats.bits());
        answer.mutable_read_reply()->set_same(true);
        context.encode(*answer.mutable_read_reply()->mutable_context());
        coordinator.on_message(from, answer);
    }
    void answer_hint(base::NodeId from,
                     const peer::ReplicaMessage& question,
                     const absl::Status& status = absl::OkStatus()) {
        peer::ReplicaMessage answer = answer_to(question);
        answer.mutable_hint_reply()->set_seat(question.hint().seat());
        if (!status.ok()) {
            wire::set_refusal(*answer.mutable_hint_reply()->mutable_refusal(), status);
        }
        coordinator.on_message(from, answer);
    }
    void refuse_write(base::NodeId from, const peer::ReplicaMessage& question) {
        peer::ReplicaMessage answer = answer_to(question);
        wire::set_refusal(*answer.mutable_write_reply()->mutable_refusal(),
                          absl::UnavailableError("no seat"));
        coordinator.on_message(from, answer);
    }

    void refuse_read(base::NodeId from, const peer::ReplicaMessage& question) {
        peer::ReplicaMessage answer = answer_to(question);
        wire::set_refusal(*answer.mutable_read_reply()->mutable_refusal(),
                          absl::UnavailableError("no seat"));
        coordinator.on_message(from, answer);
    }

    absl::StatusOr<Record> stored(const std::string& name) {
        absl::StatusOr<Record> found = absl::UnknownError("no answer");
        store_rig.store.read(the_group, testing::key(name), [&](absl::StatusOr<Record> record) {
            found = std::move(record);
        });
        settle();
        return found;
    }
    // As another owner's state.
    void store_here(const std::string& name, const Record& record) {
        absl::Status status = absl::UnknownError("no answer");
        replica.write(
            the_group,
            testing::key(name),
            record,
            {},
            [&](const absl::StatusOr<Replica::Written>& written) { status = written.status(); });
        settle();
        EXPECT_TRUE(status.ok()) << status;
    }
    // A put of `value` that ends well, with both other holders answering.
    PutResult put_everywhere(const std::string& name, const std::string& value) {
        take_sent();
        const auto outcome = put_blind(name, value);
        settle();
        const auto sent = take_sent();
        for (const uint8_t index : {uint8_t{1}, uint8_t{2}}) {
            acknowledge(holder(index),
                        only(sent, holder(index), peer::ReplicaMessage::kWrite),
                        seat(index));
        }
        EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
        return **outcome->result;
    }

    StoreRig store_rig;
    env::SimWallClock wall_clock{store_rig.scheduler, start_of_run};
    env::SimRandom random{5};
    static constexpr uint64_t hint_bytes_max = 1 << 20;
    HintStore hints{store_rig.store.commits(), store_rig.engine, hint_bytes_max};
    GoneHorizon horizon{600'000};
    FakePeers peers{wall_clock};
    FakeOwners owners;
    Standings standings{store_rig.store, hints, horizon, owners};
    Replica replica{store_rig.store, hints, standings, peers};
    HybridClock hybrid_clock;
    ClockFence clock_fence{std::chrono::seconds(10)};
    LatencyWatch latency{std::chrono::milliseconds(100)};
    ContextSealer sealer{"a secret of the cluster"};
    SessionSealer sessions{"a secret of the cluster"};
    std::shared_ptr<const ClusterView> view;
    Coordinator coordinator;

  private:
    ClusterViewPtr make_view(uint64_t members, bool is_holder) {
        auto made = std::make_shared<ClusterView>();
        std::vector<ring::PlacementMember> placed;
        for (uint64_t id = 1; id <= members; ++id) {
            placed.push_back({.node = base::NodeId(id), .weight = 100, .zone = {}});
            made->peers[base::NodeId(id)] = {.address = "a", .generation = 1};
        }
        made->partition_count = 1;
        made->seat_count = 3;
        made->targets = ring::Placement::compute(placed, 1, 3);
        const auto seats = made->targets.seats_of(the_partition);
        made->holders.assign(seats.begin(), seats.end());
        made->self = is_holder ? seats[0] : made->stand_ins(the_partition, 3).back();
        NamespaceInfo standard;
        standard.id = base::default_namespace_id;
        standard.name = "default";
        standard.siblings_max = 4;
        made->namespaces.emplace(standard.name, standard);
        peers.node = made->self;
        peers.held = is_holder ? seat(0) : SeatSet();
        for (const base::NodeId node : seats) {
            if (node != made->self) {
                owners.owners->push_back({.node = node, .tenure = 1});
            }
        }
        view = made;
        return made;
    }

    uint64_t ids_ = 0;
};

}  // namespace starling::node::testing
