#include "node/server/shard.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/server/rig.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

constexpr GroupId the_group{.partition = base::PartitionId(0), .replicas = 1};
// Of a cluster of one partition with one seat.
constexpr base::ClusterId the_cluster(5);
// A node that is the test.
constexpr base::NodeId asker(9);
constexpr uint32_t life_of_asker = 3;

// The only shard of a node that is not there otherwise: who sends and tells of seats for it is the
// test.
class LoneShard final : public ShardHost {
  public:
    using Sent = std::function<void(const env::Address& to, peer::Envelope envelope)>;
    using Told = std::function<void(std::vector<HeldSeat> held)>;

    LoneShard(World& world, base::NodeId id, Sent sent, Told told)
        : self(id),
          world_(world),
          process_(world.scheduler, base::to_string(id), world.random.fork("shard", id.raw())),
          wall_clock_(world.scheduler, base::WallTime(milliseconds(started_ms))),
          sent_(std::move(sent)),
          told_(std::move(told)) {
        run([this] {
            STARLING_CHECK(shard_.open("/data").ok());
            const absl::Status loaded =
                shard_.load({.node = self,
                             .cluster = {.id = the_cluster,
                                         .name = options_.cluster_name,
                                         .partition_count = options_.partition_count,
                                         .seats = options_.seat_count},
                             .shard_count = 1,
                             .generation = 1});
            STARLING_CHECK_MSG(loaded.ok(), loaded.ToString());
            shard_.start();
        });
    }
    ~LoneShard() {
        run([this] { shard_.stop_background(); });
        STARLING_CHECK(world_.run_until(minutes(1), [this] { return shard_.is_idle(); }));
        STARLING_CHECK(shard_.close().ok());
    }

    // As a task of its loop.
    void run(absl::FunctionRef<void()> body) { loop_.run_here(body); }
    void post(env::Task task) { loop_.post(std::move(task)); }
    Shard& operator*() { return shard_; }
    Shard* operator->() { return &shard_; }

    bool send_frame(const env::Address& to, std::string frame) override {
        peer::Envelope envelope;
        EXPECT_TRUE(envelope.ParseFromString(frame));
        sent_(to, std::move(envelope));
        return true;
    }
    void seats_changed(uint32_t, base::ClusterId, std::vector<HeldSeat> held) override {
        told_(std::move(held));
    }
    void log(std::string_view, std::string_view) override {}
    void want_new_life(const std::string& why) override { ADD_FAILURE() << why; }

    const base::NodeId self;

  private:
    static NodeOptions options() {
        NodeOptions options;
        options.cluster_secret = "the secret of the tests";
        options.partition_count = 1;
        options.seat_count = 1;
        options.memory_bytes_max = 64u << 20;
        options.engine = "in_memory";
        return options;
    }

    World& world_;
    const NodeOptions options_ = options();
    env::SimProcess process_;
    env::SimLoop loop_{process_};
    env::SimWorkers workers_{process_};
    env::SimWallClock wall_clock_;
    env::SimFileSystem files_;
    const Sent sent_;
    const Told told_;
    Shard shard_{0,
                 1,
                 options_,
                 {.loop = loop_, .workers = workers_, .wall_clock = wall_clock_, .files = files_},
                 self.raw(),
                 *this};
};

class ShardTest : public ::testing::Test {
  protected:
    ShardTest() {
        first_ = make_shard(1);
        second_ = make_shard(2);
    }
    ~ShardTest() override {
        second_.reset();
        first_.reset();
    }
    std::unique_ptr<LoneShard> make_shard(uint64_t id) {
        const base::NodeId self(id);
        return std::make_unique<LoneShard>(
            world_,
            self,
            [this](const env::Address& to, peer::Envelope envelope) { deliver(to, envelope); },
            [this, self](const std::vector<HeldSeat>& held) {
                for (LoneShard* other : shards()) {
                    other->post([other, self, held] { (*other)->set_member_seats(self, held); });
                }
            });
    }
    // Those that are there.
    std::vector<LoneShard*> shards() {
        std::vector<LoneShard*> out{first_.get(), second_.get()};
        std::erase(out, nullptr);
        return out;
    }
    static std::string address_of(base::NodeId node) { return base::to_string(node); }
    void deliver(const env::Address& to, const peer::Envelope& envelope) {
        // It is asked for hints, too.
        if (to == address_of(asker) && envelope.entropy().has_groups()) {
            answers_.push_back(envelope.entropy().groups());
        }
        for (LoneShard* shard : shards()) {
            if (to != address_of(shard->self)) continue;
            shard->post([shard, envelope] {
                (*shard)->on_message(base::NodeId(envelope.from()), envelope);
            });
        }
    }
    // From now on this node should hold the seat.
    void place_seat_at(const LoneShard& target) {
        const std::vector<ring::PlacementMember> members{{.node = target.self, .zone = ""}};
        ClusterView view;
        view.cluster = the_cluster;
        view.partition_count = 1;
        view.seat_count = 1;
        view.holders = {first_->self};
        view.targets = ring::Placement::compute(members, 1, 1);
        view.peers[asker] = {.address = address_of(asker), .generation = life_of_asker};
        for (const LoneShard* shard : shards()) {
            view.peers[shard->self] = {.address = address_of(shard->self), .generation = 1};
        }
        for (LoneShard* shard : shards()) {
            view.self = shard->self;
            shard->run([&] { (*shard)->set_view(std::make_shared<ClusterView>(view)); });
        }
    }
    // The first shard's, from the start.
    void found() {
        absl::Status founded = absl::UnknownError("not founded");
        first_->run([&] { (*first_)->found([&](absl::Status status) { founded = status; }); });
        ASSERT_TRUE(world_.run_until(seconds(10), [&] { return founded.ok(); })) << founded;
        place_seat_at(*first_);
        absl::Status merged = absl::UnknownError("not merged");
        first_->run([&] {
            (*first_)->data().merge_records(
                the_group,
                {{.key = group_key(base::default_namespace_id, "k"),
                  .record = mint({}, {}, testing::write(testing::dot(1, 1), 1, "value"))}},
                {},
                [&](absl::Status status) { merged = status; });
        });
        ASSERT_TRUE(world_.run_until(seconds(10), [&] { return merged.ok(); })) << merged;
    }
    // It holds the seat, and the first one has nothing left of it.
    bool is_handed_over() {
        ShardInspection giver;
        (*first_)->inspect(giver);
        return giver.held.empty() && giver.seats_fenced == 0 && giver.groups.empty() &&
               (*second_)->held().size() == 1;
    }
    // What it answers, if it does, to who wants to take over all that there is of the partition:
    // the groups that it has, by their replicas.
    std::optional<std::vector<uint32_t>> groups_told_by(LoneShard& shard,
                                                        uint32_t life = life_of_asker) {
        answers_.clear();
        peer::Envelope question;
        question.set_cluster(the_cluster.raw());
        question.set_from(asker.raw());
        question.set_to(shard.self.raw());
        question.set_from_generation(life);
        question.mutable_entropy()->set_partition(the_group.partition.raw());
        question.mutable_entropy()->mutable_groups_ask();
        shard.run([&] { shard->on_message(asker, question); });
        world_.scheduler.run_for(seconds(1));
        if (answers_.empty()) return std::nullopt;
        EXPECT_EQ(answers_.size(), 1u);
        const auto& replicas = answers_[0].replicas();
        return std::vector<uint32_t>(replicas.begin(), replicas.end());
    }

    World world_;
    std::vector<peer::EntropyGroups> answers_;
    std::unique_ptr<LoneShard> first_;
    std::unique_ptr<LoneShard> second_;
};

// It has nothing any more, and that would be taken for all that there is.
TEST_F(ShardTest, WhoHasGivenItsSeatAwayIsNoGiverOfARefill) {
    ASSERT_NO_FATAL_FAILURE(found());
    EXPECT_THAT(groups_told_by(*first_), Optional(ElementsAre(the_group.replicas)));
    place_seat_at(*second_);
    ASSERT_TRUE(world_.run_until(minutes(1), [this] { return is_handed_over(); }));
    EXPECT_EQ(groups_told_by(*first_), std::nullopt);
    EXPECT_THAT(groups_told_by(*second_), Optional(ElementsAre(the_group.replicas)));
}

TEST_F(ShardTest, OneThatStopsSearchesItsDiskNoFurther) {
    EXPECT_TRUE((*first_)->engine().find_damage().ok());
    first_->run([this] { (*first_)->stop_background(); });
    EXPECT_TRUE(absl::IsCancelled((*first_)->engine().find_damage().status()));
}

TEST_F(ShardTest, WhatAnEarlierLifeOfItsSenderHadSentIsNotHeard) {
    ASSERT_NO_FATAL_FAILURE(found());
    EXPECT_EQ(groups_told_by(*first_, life_of_asker - 1), std::nullopt);
    EXPECT_NE(groups_told_by(*first_, life_of_asker), std::nullopt);
    EXPECT_NE(groups_told_by(*first_, life_of_asker + 1), std::nullopt)
        << "one that it has not heard of yet";
}

}  // namespace
}  // namespace starling::node
