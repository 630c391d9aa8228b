// Scripted scenarios about accidents that befall a node as a whole: its disk is wiped, restored
// from an older copy or copied to another machine, its clock is far off, it is away for very long.

#include <algorithm>
#include <memory>
#include <optional>

#include <gmock/gmock.h>

#include "node/server/inspect.h"
#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Replaces with_context = Replaces::seen;

class AccidentTest : public Scenario {
  protected:
    // Whose disk was set back takes over nothing before all requests are over: here that is soon.
    static RunOptions plain(uint32_t nodes, uint32_t nodes_at_start) {
        RunOptions options = Scenario::plain(nodes, nodes_at_start);
        options.node.deadline_max = seconds(4);
        options.node.deadline_limit = options.node.deadline_max;
        return options;
    }
    // Every node has a seat, and nothing moves.
    void settle(const RunOptions& options) {
        form(options);
        run_for(seconds(10));
    }
    void settle(uint32_t nodes) { settle(plain(nodes, nodes)); }
    std::unique_ptr<env::SimFileSystem> copy_of_disk(uint32_t number) {
        return machine(number).files().clone_after_crash();
    }
    // The machine loses its power, and starts a second later from this disk.
    void restart_from(uint32_t number, const env::SimFileSystem& disk) {
        crash(number, env::CrashMode::lost, seconds(1));
        machine(number).files().swap_for(disk);
        run_for(seconds(2));
    }
    // Of the life of the node that another one knows of.
    uint32_t generation_of(uint32_t number, uint32_t as_seen_by) {
        for (const node::MemberStatus& member : status_of(as_seen_by).members) {
            if (member.node == machine(number).node().id()) return member.generation;
        }
        return 0;
    }
    // What the first read shows that is answered at all.
    std::vector<std::string> first_read(uint32_t node, uint32_t r) {
        ReadOutcome outcome = read(node, r);
        for (int i = 0; i < 600 && !outcome.status.ok() && simulation_->verdict().ok(); ++i) {
            run_for(milliseconds(50));
            outcome = read(node, r);
        }
        EXPECT_TRUE(outcome.status.ok()) << outcome.status;
        return outcome.values;
    }
    // Reads through each node: from R of them, and from all.
    void expect_everywhere(const std::vector<std::string>& values) {
        for (const auto& each : simulation_->cluster().machines()) {
            for (const uint32_t r : {2u, 3u}) {
                EXPECT_THAT(read(each->number(), r).values,
                            ::testing::UnorderedElementsAreArray(values))
                    << "through " << each->name() << " at R=" << r;
            }
        }
    }
};

TEST_F(AccidentTest, ADiskRestoredFromBeforeADeleteBringsNothingBack) {
    settle(3);
    ASSERT_TRUE(put(1, "deleted", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
    restart_from(3, *old);
    expect_everywhere({});
    run_for(seconds(30));
    expect_everywhere({});
    finish();
}

TEST_F(AccidentTest, ADiskRestoredFromBeforeADeleteThatIsForgottenBringsNothingBack) {
    settle(3);
    ASSERT_TRUE(put(1, "deleted", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
    // No tombstone is left anywhere.
    run_for(minutes(3));
    restart_from(3, *old);
    for (const uint32_t node : {3u, 2u, 1u}) {
        EXPECT_THAT(first_read(node, 2), IsEmpty()) << "through node " << node;
    }
    EXPECT_THAT(first_read(3, 1), IsEmpty());
    finish();
}

// Two nodes had the write, and one of their disks is set back: the other one still has it.
TEST_F(AccidentTest, NoReadOfAMajorityMissesWhatADiskThatWasSetBackHadAcknowledged) {
    RunOptions options = plain(3, 3);
    options.node.hint_bytes_max = 1;
    options.audit_interval = 1'000'000;
    settle(options);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    isolate(2);
    ASSERT_TRUE(put(1, "acknowledged").status.ok());
    // By then it has told the first node that it has it.
    run_for(seconds(10));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    heal();
    cut(1, 2);
    wait_until([this] { return machine(3).is_up(); });
    EXPECT_THAT(first_read(2, 2), ElementsAre("acknowledged"));
    heal();
    EXPECT_THAT(first_read(3, 1), ElementsAre("acknowledged"));
    finish();
}

// Its earlier life had acknowledged a write that reaches the next holder when this one has been
// refilled: of W acknowledgements one is of a life that is forgotten.
TEST_F(AccidentTest, AWriteThatIsCountedForAnEarlierLifeAfterTheRefillIsNotMissed) {
    RunOptions options = plain(4, 4);
    options.node.hint_bytes_max = 1;
    options.audit_interval = 1'000'000;
    settle(options);
    const std::vector<uint32_t> seats = holders();
    const uint32_t stranger = 10 - seats[0] - seats[1] - seats[2];
    const auto old = copy_of_disk(seats[2]);
    ASSERT_TRUE(put(stranger, "told", {.w = 3}).status.ok());
    run_for(seconds(10));
    env::SimNetwork& network = simulation_->network();
    for (const uint32_t other : {seats[0], seats[1]}) {
        network.clog(machine(stranger).address(), machine(other).address());
    }
    begin_put(stranger, "counted", {.replaces = with_context, .deadline = seconds(4)});
    run_for(milliseconds(50));
    crash(seats[2], env::CrashMode::lost, milliseconds(1));
    machine(seats[2]).files().swap_for(*old);
    run_for(milliseconds(2'500));
    network.unclog(machine(stranger).address(), machine(seats[0]).address());
    run_for(milliseconds(500));
    cut(seats[0], seats[1]);
    cut(stranger, seats[1]);
    first_read(seats[1], 2);
    heal();
    EXPECT_THAT(first_read(seats[1], 2), UnorderedElementsAre("told", "counted"));
    finish();
}

// Its answer to a put is on its way, and then its disk has forgotten the write. With that answer
// the put would be acknowledged, and two of three holders would know nothing of it.
TEST_F(AccidentTest, WhatAnEarlierLifeOfADiskThatWasSetBackHadSentCountsForNothing) {
    RunOptions options = plain(4, 4);
    options.node.hint_bytes_max = 1;
    options.node.deadline_max = minutes(2);
    options.node.deadline_limit = minutes(2);
    options.node.request_window = minutes(2);
    options.audit_interval = 1'000'000;
    settle(options);
    const std::vector<uint32_t> holding = holders();
    const uint32_t coordinator = holding[0];
    const uint32_t forgetful = holding[1];
    const uint32_t other = holding[2];
    const uint32_t earlier_life = generation_of(forgetful, coordinator);
    const auto old = copy_of_disk(forgetful);
    env::SimNetwork& network = simulation_->network();
    network.clog(machine(forgetful).address(), machine(coordinator).address());
    cut(coordinator, other);
    // Nobody is to remember what the disk had seen.
    cut(forgetful, other);
    // Shared with the callback, which never comes once a violation ends the run.
    const auto outcome = std::make_shared<std::optional<PutOutcome>>();
    simulation_->operations().put({.key = key(),
                                   .value = "late",
                                   .replaces = with_context,
                                   .quorum = 2,
                                   .deadline = minutes(2),
                                   .sloppy = false,
                                   .tries_max = 1,
                                   .through = &machine(coordinator)},
                                  [outcome](PutOutcome what) { *outcome = std::move(what); });
    run_for(milliseconds(200));
    EXPECT_EQ(status_of(forgetful).records, 1u);
    network.restore(machine(forgetful).address(), machine(other).address());
    network.restore(machine(other).address(), machine(forgetful).address());
    restart_from(forgetful, *old);
    // The fourth node, which holds no seat, tells of the new life.
    for (int i = 0; i < 60 && generation_of(forgetful, coordinator) == earlier_life; ++i)
        run_for(seconds(1));
    EXPECT_GT(generation_of(forgetful, coordinator), earlier_life);
    EXPECT_EQ(status_of(forgetful).records, 0u);
    // Nor does that hear of the put now.
    network.cut(machine(coordinator).address(), machine(forgetful).address());
    network.unclog(machine(forgetful).address(), machine(coordinator).address());
    run_for(seconds(1));
    EXPECT_FALSE(outcome->has_value());
    EXPECT_THAT(first_read(other, 2), IsEmpty());
    run_for(minutes(2));
    ASSERT_TRUE(outcome->has_value());
    EXPECT_FALSE((*outcome)->status.ok());
    heal();
    run_for(seconds(20));
    expect_everywhere({"late"});
    finish();
}

// The others know of later lives than the copy does, and have found that nothing comes of them any
// more. What was written in one of the same number would count as superseded, and with it would go
// what it replaced.
TEST_F(AccidentTest, AWriteOfADiskThatWasSetBackAndHeardNobodyTakesNothingWithIt) {
    settle(3);
    ASSERT_TRUE(put(1, "on all", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    for (int life = 0; life < 3; ++life) {
        crash(3, env::CrashMode::process, seconds(1));
        run_for(seconds(40));
    }
    isolate(3);
    restart_from(3, *old);
    run_for(seconds(5));
    ASSERT_TRUE(put(3, "later", {.replaces = Replaces::local, .w = 1}).status.ok());
    heal();
    run_for(seconds(40));
    expect_everywhere({"later"});
    finish();
}

// Nobody has the second write, and its life is sealed, when a disk comes back that has it.
TEST_F(AccidentTest, AWriteOfASealedLifeThatADiskBringsBackTakesNothingWithIt) {
    settle(3);
    ASSERT_TRUE(put(1, "on all", {.w = 3}).status.ok());
    const auto before = copy_of_disk(3);
    isolate(3);
    put(3, "on one", {.replaces = Replaces::local, .w = 3});
    const auto after = copy_of_disk(3);
    restart_from(3, *before);
    heal();
    run_for(seconds(60));
    expect_everywhere({"on all"});
    restart_from(3, *after);
    run_for(seconds(60));
    expect_everywhere({"on all"});
    finish();
}

// The put and its delete have left the index of the others, and no value tells of them.
TEST_F(AccidentTest, ADiskSetBackToBeforeAPutAndItsDeleteKnowsTheRequest) {
    settle(3);
    const auto old = copy_of_disk(3);
    const PutOutcome deleted = put(1, "deleted", {.replaces = with_context, .w = 3});
    ASSERT_TRUE(deleted.status.ok());
    ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
    run_for(seconds(8));
    restart_from(3, *old);
    run_for(seconds(6));
    const node::PutRequest again{
        .options = {},
        .key = simulation_->oracle().key(key()).key,
        .value = "deleted",
        .context = "",
        .request = simulation_->oracle().history(key()).get(deleted.id).request};
    machine(3).post([this, again] { machine(3).node().put(again, [](const auto&) {}); });
    run_for(milliseconds(100));
    EXPECT_THAT(read(3, 1).values, ::testing::IsEmpty());
    finish();
}

// A hint holds its own write, and one that nobody else has but its minting owner, whose disk loses
// it.
TEST_F(AccidentTest, AHintBringsAllOfItsLifeThatItHolds) {
    settle(4);
    const std::vector<uint32_t> holding = holders();
    const uint32_t coordinator = holding[0];
    const uint32_t bystander = 10 - holding[0] - holding[1] - holding[2];
    const auto old = copy_of_disk(coordinator);
    for (const uint32_t other : {holding[1], holding[2]})
        crash(other, env::CrashMode::process, seconds(20));
    run_for(seconds(10));
    simulation_->operations().put({.key = key(),
                                   .value = "on one disk",
                                   .replaces = with_context,
                                   .quorum = 2,
                                   .deadline = milliseconds(300),
                                   .sloppy = false,
                                   .tries_max = 1,
                                   .through = &machine(coordinator)},
                                  [](const PutOutcome&) {});
    run_for(seconds(1));
    EXPECT_EQ(hints_kept_by(bystander), 0u);
    ASSERT_TRUE(put(coordinator, "on two", {.replaces = with_context}).status.ok());
    EXPECT_GE(hints_kept_by(bystander), 1u);
    // That the life has ended the others hear before the hint comes.
    isolate(bystander);
    restart_from(coordinator, *old);
    run_for(seconds(20));
    heal();
    run_for(seconds(60));
    EXPECT_EQ(hints_kept_by(bystander), 0u);
    expect_everywhere({"on one disk", "on two"});
    finish();
}

// More is missing than a comparison brings back at once.
TEST_F(AccidentTest, ADiskSetBackWhileAllNodesWereDownIsNoticed) {
    constexpr size_t keys = 120;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.hint_bytes_max = 1;
    options.node.entropy_bytes_per_second = 50'000;
    options.audit_interval = 1'000'000;
    settle(options);
    const auto old = copy_of_disk(3);
    isolate(2);
    const std::string value(20'000, 'v');
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, value + std::to_string(i)).status.ok());
    }
    run_for(seconds(60));
    // What the first node remembers becomes durable with its next write at the latest.
    use_key(0);
    ASSERT_TRUE(put(1, value + "again").status.ok());
    for (const uint32_t number : {1u, 2u, 3u})
        crash(number, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    heal();
    cut(1, 2);
    wait_until([this] { return machine(3).is_up(); });
    for (size_t i = 1; i < keys && simulation_->verdict().ok(); ++i) {
        use_key(i);
        // While it is refilled it answers nothing.
        const ReadOutcome outcome = read(2, 2);
        if (outcome.status.ok()) {
            EXPECT_THAT(outcome.values, ElementsAre(value + std::to_string(i)));
        }
    }
    heal();
    use_key(1);
    EXPECT_THAT(first_read(3, 1), ElementsAre(value + "1"));
    finish();
}

// A page of a comparison has room for a few records, and names writes of all keys. While a third
// holder is away they all stay in the index.
TEST_F(AccidentTest, ANodeThatMissedManyWritesOfAFewLargeKeysIsSentEachKeyOnce) {
    constexpr size_t keys = 12;
    constexpr int writes = 12;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.hint_bytes_max = 1;
    settle(options);
    isolate(3);
    const std::string value(8'000, 'v');
    for (int write = 0; write < writes; ++write) {
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            const std::string written = value + std::to_string(write);
            ASSERT_TRUE(put(1, written, {.replaces = with_context}).status.ok());
        }
    }
    heal();
    isolate(2);
    run_for(seconds(30));
    const double records = keys * writes * static_cast<double>(value.size());
    const double pulled = metrics_of(3)["starling_entropy_bytes_pulled_total"];
    EXPECT_GE(pulled, records);
    EXPECT_LT(pulled, records * 3 / 2);
    finish();
}

TEST_F(AccidentTest, AllDisksButOneSetBackAtOnceAreRefilledFromIt) {
    RunOptions options = plain(3, 3);
    options.audit_interval = 1'000'000;
    settle(options);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    const auto second = copy_of_disk(2);
    const auto third = copy_of_disk(3);
    ASSERT_TRUE(put(1, "acknowledged", {.w = 3}).status.ok());
    run_for(seconds(10));
    crash(2, env::CrashMode::lost, seconds(1));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(2).files().swap_for(*second);
    machine(3).files().swap_for(*third);
    EXPECT_THAT(first_read(3, 2), ElementsAre("acknowledged"));
    EXPECT_THAT(first_read(2, 2), ElementsAre("acknowledged"));
    finish();
}

TEST_F(AccidentTest, ANodeWhoseOwnWritesWereRolledBackMintsNoDotTwice) {
    settle(3);
    ASSERT_TRUE(put(3, "v1", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    for (int i = 2; i <= 5; ++i) {
        ASSERT_TRUE(put(3, "v" + std::to_string(i), {.w = 3}).status.ok());
    }
    restart_from(3, *old);
    ASSERT_TRUE(put(3, "after").status.ok());
    expect_everywhere({"after"});
    for (int i = 6; i <= 10; ++i) {
        ASSERT_TRUE(put(3, "v" + std::to_string(i)).status.ok());
    }
    expect_everywhere({"v10"});
    finish();
}

TEST_F(AccidentTest, ADiskThatIsRestoredAgainAndAgainStaysOneNode) {
    settle(3);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    const auto old = copy_of_disk(2);
    for (int i = 1; i <= 5; ++i) {
        const std::string value = "v" + std::to_string(i);
        ASSERT_TRUE(put(2, value, {.w = 3}).status.ok());
        restart_from(2, *old);
        first_read(2, 3);
        expect_everywhere({value});
    }
    finish();
}

// The first partition that notices begins a new epoch for all of its shard.
TEST_F(AccidentTest, EachPartitionOfADiskThatWasSetBackIsRefilled) {
    constexpr size_t keys = 40;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.partition_count = 16;
    options.node.hint_bytes_max = 1;
    options.audit_interval = 1'000'000;
    settle(options);
    const auto old = copy_of_disk(3);
    isolate(2);
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, "acknowledged" + std::to_string(i)).status.ok());
    }
    run_for(seconds(20));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    heal();
    cut(1, 2);
    wait_until([this] { return machine(3).is_up(); });
    // What is refilled from one that is cut off from another is refilled from both.
    for (int round = 0; round < 5; ++round) {
        for (size_t i = 0; i < keys && simulation_->verdict().ok(); ++i) {
            use_key(i);
            const ReadOutcome outcome = read(2, 2);
            if (outcome.status.ok()) {
                EXPECT_THAT(outcome.values, ElementsAre("acknowledged" + std::to_string(i)));
            }
        }
        run_for(seconds(1));
    }
    finish();
}

// What all owners had seen is in no index any more: a comparison alone does not bring it back, and
// would make this node say that it had seen it.
TEST_F(AccidentTest, WhatADiskThatWasSetBackLacksIsNotTakenForSupersededWhileItIsRefilled) {
    constexpr size_t keys = 100;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.entropy_interval = seconds(1);
    options.node.entropy_bytes_per_second = 50'000;
    options.audit_interval = 1'000'000;
    settle(options);
    const auto old = copy_of_disk(3);
    const std::string value(20'000, 'v');
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, value + std::to_string(i), {.w = 3}).status.ok());
    }
    run_for(seconds(60));
    restart_from(3, *old);
    run_for(seconds(10));
    ASSERT_TRUE(machine(3).node().is_refilling(base::PartitionId(0)));
    // The records that come meanwhile are merged with what is there.
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        const PutAs as{.replaces = with_context};
        ASSERT_TRUE(put(1, "beside", as).status.ok());
    }
    run_for(minutes(2));
    for (size_t i = 0; i < keys && simulation_->verdict().ok(); ++i) {
        use_key(i);
        EXPECT_THAT(first_read(2, 2), UnorderedElementsAre(value + std::to_string(i), "beside"));
    }
    finish();
}

// Nobody else can tell it: who gives a seat away keeps that to itself, too.
TEST_F(AccidentTest, ADiskSetBackToBeforeItsNodeHeldAnySeatTakesThemUpAgain) {
    constexpr size_t keys = 40;
    RunOptions options = plain(4, 3);
    options.workload.keys = keys;
    options.node.partition_count = 16;
    options.audit_interval = 1'000'000;
    form(options);
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, "before" + std::to_string(i), {.w = 3}).status.ok());
    }
    simulation_->cluster().bring_up(4);
    wait_until([this] { return simulation_->cluster().is_member(machine(4)); });
    ASSERT_EQ(seats_held_by(4), 0u);
    const auto old = copy_of_disk(4);
    run_for(seconds(15));
    const uint32_t seats = seats_held_by(4);
    ASSERT_GT(seats, 0u);
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, "after" + std::to_string(i), {.replaces = with_context}).status.ok());
    }
    const auto held = [this] {
        node::ShardInspection inside;
        machine(4).node().inspect(inside);
        return inside.held;
    };
    restart_from(4, *old);
    EXPECT_EQ(seats_held_by(4), 0u);
    wait_until([&] { return seats_held_by(4) == seats; });
    for (const node::HeldSeat& seat : held()) {
        EXPECT_TRUE(machine(4).node().is_refilling(seat.partition));
    }
    run_for(seconds(15));
    for (const node::HeldSeat& seat : held()) {
        EXPECT_FALSE(machine(4).node().is_refilling(seat.partition));
    }
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        EXPECT_THAT(first_read(4, 3),
                    ElementsAre("before" + std::to_string(i), "after" + std::to_string(i)));
    }
    finish();
}

// In the new epoch nobody remembers any more what the disk had.
TEST_F(AccidentTest, ADiskThatWasSetBackIsRefilledThoughItsNodeStartsAgainMeanwhile) {
    constexpr size_t keys = 100;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.hint_bytes_max = 1;
    options.node.entropy_bytes_per_second = 50'000;
    options.audit_interval = 1'000'000;
    settle(options);
    const auto old = copy_of_disk(3);
    isolate(2);
    const std::string value(20'000, 'v');
    for (size_t i = 0; i < keys; ++i) {
        use_key(i);
        ASSERT_TRUE(put(1, value + std::to_string(i)).status.ok());
    }
    run_for(seconds(30));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    heal();
    wait_until([this] { return machine(3).is_up(); });
    // Both have been told of the new epoch by then, and have given little.
    run_for(seconds(8));
    ASSERT_TRUE(machine(3).node().is_refilling(base::PartitionId(0)));
    crash(3, env::CrashMode::lost, seconds(1));
    cut(1, 2);
    wait_until([this] { return machine(3).is_up(); });
    for (int round = 0; round < 5; ++round) {
        for (size_t i = 0; i < keys && simulation_->verdict().ok(); ++i) {
            use_key(i);
            const ReadOutcome outcome = read(2, 2);
            if (outcome.status.ok()) {
                EXPECT_THAT(outcome.values, ElementsAre(value + std::to_string(i)));
            }
        }
        run_for(seconds(1));
    }
    finish();
}

// Its start counter is set back, too: others know a later life of it.
TEST_F(AccidentTest, ADiskThatIsSetBackByManyStartsServesAgain) {
    settle(3);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    const auto old = copy_of_disk(3);
    for (int i = 0; i < 4; ++i) {
        crash(3, env::CrashMode::lost, seconds(1));
        run_for(seconds(5));
    }
    ASSERT_TRUE(put(3, "after", {.w = 3}).status.ok());
    run_for(seconds(10));
    restart_from(3, *old);
    EXPECT_THAT(first_read(3, 3), ElementsAre("after"));
    ASSERT_TRUE(put(3, "through it", {.w = 3}).status.ok());
    expect_everywhere({"through it"});
    finish();
}

TEST_F(AccidentTest, AHintThatComesLongAfterTheDeleteOfItsWriteBringsNothingBack) {
    settle(4);
    const std::vector<uint32_t> seats = holders();
    const uint32_t stand_in = 1 + 2 + 3 + 4 - seats[0] - seats[1] - seats[2];
    crash(seats[2], env::CrashMode::lost, seconds(60));
    run_for(seconds(30));
    ASSERT_TRUE(put(seats[0], "deleted", {.replaces = with_context}).status.ok());
    run_for(seconds(1));
    ASSERT_GT(hints_kept_by(stand_in), 0);
    isolate(stand_in);
    run_for(seconds(40));
    const ReadOutcome seen = read(seats[0]);
    ASSERT_THAT(seen.values, ElementsAre("deleted"));
    ASSERT_TRUE(
        remove(seats[0], {.replaces = with_context, .context = seen.context, .w = 3}).status.ok());
    // Longer than a request is remembered, and than replicas need to compare.
    run_for(minutes(3));
    ASSERT_GT(hints_kept_by(stand_in), 0);
    heal();
    wait_until([&] { return hints_kept_by(stand_in) == 0; });
    EXPECT_THAT(read(seats[2]).values, IsEmpty());
    expect_everywhere({});
    finish();
}

TEST_F(AccidentTest, AHintThatComesBeforeTheDeleteOfItsWriteIsDeletedWithIt) {
    settle(4);
    const std::vector<uint32_t> seats = holders();
    const uint32_t stand_in = 1 + 2 + 3 + 4 - seats[0] - seats[1] - seats[2];
    crash(seats[2], env::CrashMode::lost, seconds(60));
    run_for(seconds(30));
    ASSERT_TRUE(put(seats[0], "deleted", {.replaces = with_context}).status.ok());
    const ReadOutcome seen = read(seats[0]);
    // The holder that comes back hears of the write from the stand-in alone, not of its delete.
    cut(seats[0], seats[2]);
    cut(seats[1], seats[2]);
    run_for(seconds(29));
    wait_until([&] { return machine(seats[2]).is_up(); });
    ASSERT_TRUE(remove(seats[0], {.replaces = with_context, .context = seen.context}).status.ok());
    wait_until([&] { return hints_kept_by(stand_in) == 0 || !simulation_->verdict().ok(); });
    heal();
    finish();
}

TEST_F(AccidentTest, APutAndADeleteThatDoNotKnowOfOneAnotherBothCount) {
    settle(3);
    for (int round = 0; round < 20; ++round) {
        SCOPED_TRACE(round);
        use_key(static_cast<size_t>(round % 2));
        const std::string old = "old" + std::to_string(round);
        const std::string put_value = "new" + std::to_string(round);
        ASSERT_TRUE(put(1, old, {.w = 3}).status.ok());
        const ReadOutcome seen = read(2, 3);
        ASSERT_THAT(seen.values, ElementsAre(old));
        begin_put(1 + static_cast<uint32_t>(round) % 3,
                  put_value,
                  {.replaces = with_context, .context = seen.context});
        run_for(std::chrono::microseconds(100 * round));
        ASSERT_TRUE(remove(1 + static_cast<uint32_t>(round + 1) % 3,
                           {.replaces = with_context, .context = seen.context})
                        .status.ok());
        run_for(seconds(1));
        // The delete has not seen the new value, so it does not delete that.
        expect_everywhere({put_value});
    }
    finish();
}

TEST_F(AccidentTest, APutThatKnowsTheDeleteAndADeleteThatKnowsThePutReplaceOneAnother) {
    settle(3);
    ASSERT_TRUE(put(1, "first", {.w = 3}).status.ok());
    ASSERT_TRUE(remove(2).status.ok());
    const ReadOutcome gone = read(3);
    ASSERT_THAT(gone.values, IsEmpty());
    ASSERT_TRUE(put(3, "second", {.replaces = with_context, .context = gone.context}).status.ok());
    const ReadOutcome seen = read(1);
    ASSERT_THAT(seen.values, ElementsAre("second"));
    isolate(2);
    ASSERT_TRUE(remove(1, {.replaces = with_context, .context = seen.context}).status.ok());
    heal();
    run_for(seconds(1));
    expect_everywhere({});
    finish();
}

TEST_F(AccidentTest, AClockTwoHoursAheadThatIsSetRightBringsNothingBackAndLosesNothing) {
    settle(3);
    ASSERT_TRUE(put(1, "deleted", {.w = 3}).status.ok());
    use_key(1);
    ASSERT_TRUE(put(1, "kept", {.w = 3}).status.ok());
    use_key(0);
    machine(3).wall_clock().jump(hours(2));
    ASSERT_TRUE(remove(1).status.ok());
    // Long enough for the wrong clock to forget every request that it knew.
    run_for(minutes(2));
    // The clients' clocks are right: to this node their requests are two hours old.
    EXPECT_FALSE(put(3, "through the wrong clock").status.ok());
    ASSERT_TRUE(put(2, "after the delete", {.w = 3}).status.ok());
    ASSERT_TRUE(remove(2, {.w = 3}).status.ok());
    expect_everywhere({});
    machine(3).wall_clock().jump(-hours(2));
    run_for(minutes(2));
    expect_everywhere({});
    ASSERT_TRUE(put(3, "through the clock that is right again").status.ok());
    expect_everywhere({"through the clock that is right again"});
    use_key(1);
    expect_everywhere({"kept"});
    finish();
}

TEST_F(AccidentTest, ANodeThatWasAwayForAWeekTakesNothingBackAndLearnsEverything) {
    RunOptions options = plain(3, 3);
    options.workload.keys = 20;
    // So slow that a week passes quickly: what matters is that all windows and timers are over.
    options.node.gossip_probe_interval = seconds(60);
    options.node.entropy_interval = minutes(10);
    options.node.hint_interval = minutes(1);
    options.convergence_max = hours(1);
    settle(options);
    for (size_t key = 0; key < 15; ++key) {
        use_key(key);
        ASSERT_TRUE(put(1 + static_cast<uint32_t>(key % 3), "old", {.w = 3}).status.ok());
    }
    const base::NodeId away = machine(3).node().id();
    crash(3, env::CrashMode::torn, hours(24 * 7));
    run_for(minutes(30));
    for (size_t key = 0; key < 20; ++key) {
        use_key(key);
        if (key < 5) {
            ASSERT_TRUE(remove(1).status.ok());
        } else if (key >= 10) {
            ASSERT_TRUE(put(2, "new").status.ok());
        }
    }
    run_for(hours(24 * 3));
    for (const uint32_t number : {1u, 2u}) {
        SCOPED_TRACE(number);
        const node::StatusReport report = status_of(number);
        ASSERT_EQ(report.tombstones_waiting.size(), 1u);
        EXPECT_EQ(report.tombstones_waiting.front().node, away);
        EXPECT_EQ(report.tombstones_waiting.front().tombstones, 5u);
        const milliseconds waiting(report.tombstones_waiting.front().waiting_ms);
        EXPECT_GE(waiting, hours(24 * 3));
        EXPECT_LT(waiting, hours(24 * 3) + minutes(1));
    }
    run_for(hours(24 * 4));
    ASSERT_TRUE(machine(3).is_up());
    for (size_t key = 0; key < 20; ++key) {
        use_key(key);
        SCOPED_TRACE(key);
        if (key < 5) {
            EXPECT_THAT(read(3).values, IsEmpty());
        } else {
            EXPECT_THAT(read(3).values, ElementsAre(key < 10 ? "old" : "new"));
        }
    }
    run_for(hours(2));
    for (const uint32_t number : {1u, 2u, 3u})
        EXPECT_THAT(status_of(number).tombstones_waiting, IsEmpty()) << "node " << number;
    finish();
}

// Both copies count for one seat, so a quorum that one of them is in may miss what the other one
// acknowledged: that is not promised yet. What all other holders have is, and that no dot is minted
// twice.
class CopiedDiskTest : public AccidentTest {
  protected:
    static constexpr uint32_t original = 3;
    static constexpr uint32_t copy = 4;
    static constexpr size_t keys = 8;

    // All but the copy, which has no disk yet.
    void settle_without_copy() {
        RunOptions options = plain(4, 3);
        options.workload.keys = keys;
        // Audits take two machines with one seat for two owners.
        options.audit_interval = 1'000'000;
        options.audit_deaths = false;
        settle(options);
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            ASSERT_TRUE(put(1 + static_cast<uint32_t>(key % 3), "before", {.w = 3}).status.ok());
        }
    }
    void start_copy_from(const env::SimFileSystem& disk) {
        machine(copy).files().swap_for(disk);
        simulation_->cluster().bring_up(copy);
        ASSERT_TRUE(machine(copy).is_up());
        ASSERT_EQ(machine(copy).node().id(), machine(original).node().id());
    }
    // Through both copies and the others, acknowledged by all seats. Peers answer one copy only, so
    // through the other one the outcome may be unknown. Returns how many were acknowledged.
    size_t put_through_all() {
        size_t acknowledged = 0;
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            for (uint32_t node = 1; node <= copy; ++node) {
                const PutAs as{.replaces = with_context, .w = 3, .deadline = milliseconds(200)};
                const std::string value = "v" + std::to_string(++serial_);
                acknowledged += put(node, value, as).status.ok() ? 1u : 0u;
            }
        }
        return acknowledged;
    }
    void expect_use_of_both_copies_loses_nothing() {
        for (int round = 0; round < 3; ++round) {
            EXPECT_GE(put_through_all(), 2 * keys) << "through the two other nodes";
            run_for(seconds(3));
        }
        for (const uint32_t number : {original, copy})
            crash(number, env::CrashMode::lost, hours(24));
        run_for(seconds(5));
        // What has to be there, and that its dots are its own, is the oracle's to say.
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            for (const uint32_t node : {1u, 2u})
                EXPECT_THAT(read(node, 2).values, Contains("before"));
        }
        for (const Violation& violation : simulation_->result().violations)
            ADD_FAILURE() << violation.invariant << ": " << violation.what;
    }
    bool has_logged(uint32_t number, const std::string& what) {
        const std::string line = machine(number).name() + " error: " + what;
        return std::ranges::any_of(simulation_->result().trace, [&](const std::string& logged) {
            return logged.find(line) != std::string::npos;
        });
    }

  private:
    int serial_ = 0;
};

TEST_F(CopiedDiskTest, ACopyThatStartsWhileItsOriginalRunsIsRecognisedAndMintsDotsOfItsOwn) {
    settle_without_copy();
    start_copy_from(*copy_of_disk(original));
    const std::string recognised = "another process runs under this node's identity";
    for (int i = 0; i < 60 && !has_logged(original, recognised); ++i)
        run_for(seconds(1));
    EXPECT_TRUE(has_logged(original, recognised));
    expect_use_of_both_copies_loses_nothing();
}

// Both raise the start counter to the same value.
TEST_F(CopiedDiskTest, TwoNodesThatStartFromOneDiskMintNoDotTwice) {
    settle_without_copy();
    crash(original, env::CrashMode::lost, seconds(1));
    const auto disk = copy_of_disk(original);
    wait_until([this] { return machine(original).is_up(); });
    start_copy_from(*disk);
    run_for(seconds(5));
    expect_use_of_both_copies_loses_nothing();
}

TEST_F(AccidentTest, AWipedNodeThatComesBackAtItsOldAddressIsAnotherNodeAndLosesNobodysWrites) {
    RunOptions options = plain(3, 3);
    // Disks are not looked at: one of those that had the acknowledged writes is gone.
    options.audit_interval = 1'000'000;
    settle(options);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    use_key(1);
    ASSERT_TRUE(put(1, "deleted", {.w = 3}).status.ok());
    ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
    const base::NodeId former = machine(3).node().id();
    wipe(3);
    wait_until([this] { return machine(3).is_up(); });
    EXPECT_NE(machine(3).node().id(), former);
    // The dead node keeps its seat; the other two are a majority.
    for (int i = 0; i < 10; ++i) {
        run_for(seconds(5));
        use_key(0);
        const std::string value = "v" + std::to_string(i);
        ASSERT_TRUE(put(1 + static_cast<uint32_t>(i) % 2, value).status.ok());
        const ReadOutcome back = read(1 + static_cast<uint32_t>(i + 1) % 2);
        EXPECT_TRUE(back.status.ok()) << back.status;
        EXPECT_THAT(back.values, ElementsAre(value));
        use_key(1);
        const ReadOutcome deleted = read(1 + static_cast<uint32_t>(i) % 3);
        EXPECT_TRUE(deleted.status.ok()) << deleted.status;
        EXPECT_THAT(deleted.values, IsEmpty());
    }
    EXPECT_TRUE(simulation_->cluster().is_member(machine(3)));
    for (const Violation& violation : simulation_->result().violations)
        ADD_FAILURE() << violation.invariant << ": " << violation.what;
}

}  // namespace
}  // namespace starling::sim
