// Scripted scenarios about disks that lose something for good, while the rest of them goes on.

#include <set>

#include <gmock/gmock.h>

#include "base/mark.h"
#include "node/server/inspect.h"
#include "tests/sim/disk_copy.h"
#include "tests/sim/scenario.h"
#include "tests/sim/table_damage.h"

namespace starling::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DamageTest : public Scenario {
  protected:
    static constexpr size_t keys = 40;

    static RunOptions with_keys() {
        RunOptions options = plain(3, 3);
        options.workload.keys = keys;
        // Some of the hits are on a table that has only just been written.
        options.node.entropy_interval = seconds(2);
        return options;
    }
    static std::string value_of(size_t key, std::string_view name) {
        // That do not compress, so that there are many blocks.
        env::SimRandom random(key);
        std::string value = fmt::format("{} of key {} ", name, key);
        while (value.size() < 700)
            value += static_cast<char>('!' + random.below(90));
        return value;
    }
    // Each key has a value on all three nodes, and lies in a table there.
    void fill(std::string_view name) {
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            ASSERT_TRUE(
                put(static_cast<uint32_t>(1 + key % 3), value_of(key, name), {.w = 3}).status.ok());
        }
        for (const uint32_t number : {1u, 2u, 3u}) {
            crash(number, env::CrashMode::process, milliseconds(10));
            run_for(seconds(5));
        }
    }
    // Two holders are cut off: the third coordinates, and the fourth node keeps hints for them.
    struct Pair {
        uint32_t coordinator;
        uint32_t keeper;
    };
    Pair form_with_a_keeper_of_hints() {
        RunOptions options = plain(4, 4);
        options.workload.keys = keys;
        form(options);
        run_for(seconds(10));
        const std::vector<uint32_t> holding = holders();
        isolate(holding[1]);
        isolate(holding[2]);
        run_for(seconds(10));
        return {.coordinator = holding[0], .keeper = 10 - holding[0] - holding[1] - holding[2]};
    }
    void rot(uint32_t number, env::SimRandom& random) {
        const std::optional<FileDamage> damage =
            find_table_damage(machine(number).files(), 1, random);
        ASSERT_TRUE(damage.has_value());
        machine(number).rot(*damage);
    }
    // It reads its tables again, as it does at each start.
    void restart(uint32_t number) {
        crash(number, env::CrashMode::process, milliseconds(10));
        run_for(seconds(1));
    }
    bool is_healed(uint32_t number) {
        return machine(number).is_up() && machine(number).node().is_ready() &&
               !machine(number).node().is_healing();
    }
    // For longer than wait_until() does: a node waits until no request is under way any more.
    void await(const std::function<bool()>& condition) {
        for (int i = 0; i < 600 && !condition() && simulation_->verdict().ok(); ++i)
            run_for(milliseconds(500));
        EXPECT_TRUE(condition() || !simulation_->verdict().ok()) << "the script waits in vain";
    }
    void expect_all(std::string_view name) {
        for (size_t key = 0; key < keys; ++key) {
            use_key(key);
            for (const uint32_t node : {1u, 2u, 3u}) {
                EXPECT_THAT(read(node, 1).values, ElementsAre(value_of(key, name)))
                    << "key " << key << " through node " << node;
            }
        }
    }
};

TEST_F(DamageTest, ADiskThatLosesABitHereAndThereIsRefilledEachTime) {
    form(with_keys());
    fill("value");
    env::SimRandom random(11);
    uint32_t healed = 0;
    for (int hit = 0; hit < 12; ++hit) {
        rot(3, random);
        restart(3);
        await([this] { return machine(3).is_up(); });
        run_for(seconds(5));
        const bool was_met = machine(3).is_up() && machine(3).node().is_healing();
        await([this] { return is_healed(3); });
        healed += was_met ? 1 : 0;
        expect_all("value");
    }
    EXPECT_GE(healed, 4u);
    EXPECT_EQ(metrics_of(3)["starling_shards_damaged"], 0);
    finish();
}

// But for one with facts of the node, without which it refuses to start.
TEST_F(DamageTest, ATableThatIsGoneAfterAPowerCutIsMissedAndItsReplicasAreRefilled) {
    form(with_keys());
    fill("value");
    env::SimRandom random(17);
    std::set<FileDamage::Kind> healed;
    const uint64_t& brought_back = simulation_->cluster().counts().rotten_disks_repaired;
    for (int hit = 0; hit < 20; ++hit) {
        const auto damage = find_table_loss(machine(3).files(), 1, random);
        ASSERT_TRUE(damage.has_value());
        SCOPED_TRACE(to_string(*damage));
        const uint64_t brought_back_before = brought_back;
        crash(3, env::CrashMode::lost, milliseconds(10));
        machine(3).rot(*damage);
        await([this] { return machine(3).is_up(); });
        if (brought_back == brought_back_before) {
            healed.insert(damage->kind);
            await([this] { return is_healed(3); });
            EXPECT_TRUE(machine(3).is_healed());
        }
        EXPECT_TRUE(DiskCopy::check_readable(machine(3), 0).ok());
        expect_all("value");
    }
    EXPECT_LE(brought_back, 10u);
    EXPECT_THAT(healed, ElementsAre(FileDamage::Kind::cut_off, FileDamage::Kind::missing));
    finish();
}

// It starts all the same, and brings those that lie behind what cannot be read.
TEST_F(DamageTest, OfHintsThatCannotBeReadAtAStartOnlyThoseAreLost) {
    const auto [coordinator, keeper] = form_with_a_keeper_of_hints();
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        const PutOutcome outcome =
            put(coordinator, value_of(key, "value"), {.replaces = Replaces::seen});
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    }
    // They go into a table.
    crash(keeper, env::CrashMode::process, milliseconds(10));
    run_for(seconds(5));
    const uint64_t hints = hints_kept_by(keeper);
    EXPECT_GE(hints, keys);
    env::SimRandom random(3);
    std::optional<FileDamage> damage;
    do {
        damage = find_table_damage(machine(keeper).files(), 1, random);
        ASSERT_TRUE(damage.has_value());
    } while (damage->kind != FileDamage::Kind::unreadable || damage->offset < 4096 ||
             damage->offset > 16'384);
    machine(keeper).rot(*damage);
    restart(keeper);
    run_for(seconds(5));
    EXPECT_LT(hints_kept_by(keeper), hints / 2);
    await([&] { return is_healed(keeper); });
    EXPECT_TRUE(machine(keeper).is_healed());
    EXPECT_GE(hints_kept_by(keeper), hints - 8);
    EXPECT_LT(hints_kept_by(keeper), hints);
    EXPECT_EQ(simulation_->cluster().counts().rotten_disks_repaired, 0u);
    heal();
    finish();
}

// The range of the lost one is that of all hints.
TEST_F(DamageTest, HintsOfOtherTablesOutliveOneThatIsLost) {
    const auto [coordinator, keeper] = form_with_a_keeper_of_hints();
    uint64_t hints_of_first = 0;
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        ASSERT_TRUE(
            put(coordinator, value_of(key, "value"), {.replaces = Replaces::seen}).status.ok());
        if ((key + 1) % (keys / 2) != 0) continue;
        // They go into a table.
        crash(keeper, env::CrashMode::process, milliseconds(10));
        run_for(seconds(5));
        if (hints_of_first == 0) hints_of_first = hints_kept_by(keeper);
    }
    env::SimRandom random(3);
    std::optional<FileDamage> damage;
    for (int draw = 0; draw < 100; ++draw) {
        const auto drawn = find_table_loss(machine(keeper).files(), 1, random);
        ASSERT_TRUE(drawn.has_value());
        const bool has_hints = drawn->sound.size() > 5000;
        if (has_hints && (!damage || damage->path < drawn->path)) damage = drawn;
    }
    ASSERT_TRUE(damage.has_value());
    crash(keeper, env::CrashMode::lost, milliseconds(10));
    machine(keeper).rot(*damage);
    run_for(seconds(1));
    await([&] { return is_healed(keeper); });
    EXPECT_TRUE(machine(keeper).is_healed());
    EXPECT_GE(hints_kept_by(keeper), hints_of_first);
    heal();
    finish();
}

// Nothing but the epoch is missing then, and the others believe no report of an earlier one: no
// delete would ever be forgotten.
TEST_F(DamageTest, ADiskThatIsSetBackToBeforeItWasHealedTakesPartAgain) {
    RunOptions options = with_keys();
    options.node.scrub_period = minutes(2);
    form(options);
    fill("value");
    run_for(minutes(1));
    const auto old = machine(3).files().clone_after_crash();
    env::SimRandom random(13);
    rot(3, random);
    run_for(minutes(5));
    await([this] { return is_healed(3); });
    EXPECT_GT(metrics_of(3)["starling_scrub_failures_total"], 0);
    // The others have heard of the new epoch.
    run_for(minutes(1));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).set_back(*old);
    run_for(minutes(1));
    await([this] { return is_healed(3); });
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        EXPECT_TRUE(remove(1, {.w = 3}).status.ok());
    }
    finish();
}

// Nobody reads it, nothing is merged, and no node is restarted.
TEST_F(DamageTest, WhatRotsUnnoticedIsFoundByTheNodeItself) {
    RunOptions options = with_keys();
    options.node.scrub_period = minutes(2);
    form(options);
    fill("value");
    env::SimRandom random(13);
    double found = 0;
    for (int hit = 0; hit < 6; ++hit) {
        const double before = metrics_of(3)["starling_scrub_failures_total"];
        rot(3, random);
        // It may lie behind where the present round is.
        run_for(minutes(5));
        await([this] { return is_healed(3); });
        found += metrics_of(3)["starling_scrub_failures_total"] - before;
        EXPECT_TRUE(DiskCopy::check_readable(machine(3), 0).ok());
    }
    EXPECT_GE(found, 4);
    expect_all("value");
    finish();
}

// Each waits for the other then, unless what one of them has lost was of no use any more.
TEST_F(DamageTest, OfTwoDisksThatAreDamagedAtOnceAtMostOneIsEmptiedAndTheThirdServes) {
    form(with_keys());
    fill("value");
    env::SimRandom random(5);
    bool are_healed = true;
    bool were_both_met = false;
    for (int hit = 0; hit < 4 && are_healed; ++hit) {
        rot(2, random);
        rot(3, random);
        restart(2);
        restart(3);
        for (int second = 0; second < 120; ++second) {
            run_for(seconds(1));
            const auto is_emptied = [this](uint32_t number) {
                return machine(number).is_up() && machine(number).node().is_ready() &&
                       metrics_of(number)["starling_partitions_refilled"] > 0;
            };
            ASSERT_FALSE(is_emptied(2) && is_emptied(3));
        }
        are_healed = is_healed(2) && is_healed(3);
        were_both_met = were_both_met || (!is_healed(2) && !is_healed(3));
        expect_all("value");
    }
    EXPECT_TRUE(were_both_met);
    if (are_healed) finish();
    EXPECT_TRUE(simulation_->verdict().ok());
}

TEST_F(DamageTest, ANodeThatDiesWhileItHealsGoesOnAfterItsStart) {
    form(with_keys());
    fill("value");
    env::SimRandom random(3);
    for (uint64_t n = 1; n < 80; n += 4) {
        rot(3, random);
        restart(3);
        run_for(seconds(41));
        if (machine(3).is_up()) machine(3).die_at_io(n, static_cast<env::CrashMode>(n / 4 % 4));
        run_for(seconds(30));
        machine(3).forget_death();
        await([this] { return is_healed(3); });
    }
    expect_all("value");
    finish();
}

// Nobody else has what was written at W=1 through the node whose disk is damaged elsewhere.
TEST_F(DamageTest, WhatOnlyTheDamagedDiskHasAndCanBeReadIsHandedOverFirst) {
    RunOptions options = with_keys();
    options.node.hint_bytes_max = 1;
    options.audit_interval = 1'000'000;
    form(options);
    fill("value");
    env::SimRandom random(7);
    isolate(3);
    rot(3, random);
    for (size_t key = 0; key < keys; key += 2) {
        use_key(key);
        put(3, value_of(key, "alone"), {.w = 1, .deadline = seconds(1)});
    }
    restart(3);
    run_for(minutes(1));
    heal();
    await([this] { return is_healed(3); });
    run_for(minutes(1));
    finish();
}

TEST_F(DamageTest, AWriteThatComesWhileAPartitionIsRefilledIsKept) {
    form(with_keys());
    fill("value");
    env::SimRandom random(11);
    rot(3, random);
    restart(3);
    await([this] { return machine(3).is_up() && machine(3).node().is_healing(); });
    for (int round = 0; round < 30 && !is_healed(3); ++round) {
        for (size_t key = 0; key < keys; key += 5) {
            use_key(key);
            put(1 + static_cast<uint32_t>(round % 2),
                value_of(key, fmt::format("round {}", round)));
        }
        run_for(seconds(2));
    }
    await([this] { return is_healed(3); });
    finish();
}

// A cluster that grows by a node, which so gets some of the seats of each of the others.
class DamageWhileMovingTest : public DamageTest {
  protected:
    DamageWhileMovingTest() { base::Mark::begin_counting(); }

    void form_and_grow() {
        RunOptions options = plain(4, 3);
        options.workload.keys = keys;
        options.node.partition_count = 8;
        options.node.entropy_interval = seconds(2);
        options.node.scrub_period = minutes(1);
        form(options);
        fill("value");
        simulation_->cluster().bring_up(4);
        wait_until([this] { return is_filling(); });
    }
    node::ShardInspection look_into(uint32_t number) {
        node::ShardInspection inside;
        if (machine(number).is_up()) machine(number).node().inspect(inside);
        return inside;
    }
    // The new node has something of several partitions that it does not hold yet.
    bool is_filling() {
        const node::ShardInspection inside = look_into(4);
        const auto begun =
            std::ranges::count_if(inside.groups, [&](const node::GroupInspection& group) {
                return !group.records.empty() &&
                       std::ranges::none_of(inside.held, [&](const node::HeldSeat& seat) {
                           return seat.partition == group.group.partition;
                       });
            });
        return begun >= 3;
    }
    // Who has fenced a seat, where the new node holds all that were fenced; 0: nobody.
    uint32_t former_giver() {
        uint32_t giver = 0;
        size_t fenced = 0;
        for (const uint32_t number : {1u, 2u, 3u}) {
            const size_t count = look_into(number).seats_fenced;
            if (count > 0) giver = number;
            fenced += count;
        }
        const node::ShardInspection grown = look_into(4);
        return grown.seats_filling == 0 && fenced <= grown.held.size() ? giver : 0;
    }
    void rot_and_restart(uint32_t number, uint64_t seed) {
        env::SimRandom random(seed);
        rot(number, random);
        restart(number);
    }
    static uint64_t hits_of(std::string_view name) {
        for (const base::Mark* mark : base::Mark::all()) {
            if (mark->name() == name) return mark->hits();
        }
        return 0;
    }
};

TEST_F(DamageWhileMovingTest, AGiverWhoseDiskRotsWithdrawsItsOffersAndIsHealed) {
    for (uint32_t seed = 0; seed < 18; ++seed) {
        SCOPED_TRACE(seed);
        const uint32_t giver = 1 + seed % 3;
        form_and_grow();
        // Its offers remain, one after another, until it has found the damage.
        cut(giver, 4);
        env::SimRandom random(seed);
        rot(giver, random);
        run_for(minutes(3));
        heal();
        await([&] { return is_healed(giver); });
        finish();
        expect_all("value");
    }
    EXPECT_GT(hits_of("move_offer_withdrawn"), 0u);
}

// Its successor alone can give the seat back, and does so where it cannot be given what it lacks.
TEST_F(DamageWhileMovingTest, AFencedGiverWhoseDiskRotsGetsItsSeatBackAndIsHealed) {
    for (uint64_t seed = 0; seed < 18; ++seed) {
        SCOPED_TRACE(seed);
        form_and_grow();
        uint32_t giver = 0;
        wait_until([&] {
            for (const uint32_t number : {1u, 2u, 3u}) {
                if (look_into(number).seats_fenced > 0) giver = number;
            }
            return giver != 0;
        });
        ASSERT_NE(giver, 0u);
        cut(giver, 4);
        rot_and_restart(giver, seed);
        heal();
        await([&] { return is_healed(giver); });
        finish();
        expect_all("value");
    }
    EXPECT_GT(hits_of("move_declines_what_cannot_be_read"), 0u);
}

// It cannot be compared with who holds its seat now, which counts for all that was promised.
TEST_F(DamageWhileMovingTest, AFormerGiverWhoseDiskRotsLetsGoAndIsHealed) {
    const uint64_t let_go_before = hits_of("move_fenced_lets_go_uncompared");
    for (uint64_t seed = 0; seed < 18; ++seed) {
        SCOPED_TRACE(seed);
        form_and_grow();
        uint32_t giver = 0;
        wait_until([&] {
            giver = former_giver();
            return giver != 0;
        });
        ASSERT_NE(giver, 0u);
        cut(giver, 4);
        rot_and_restart(giver, seed);
        run_for(minutes(1));
        heal();
        await([&] { return is_healed(giver); });
        finish();
        expect_all("value");
    }
    EXPECT_GT(hits_of("move_fenced_lets_go_uncompared"), let_go_before);
}

TEST_F(DamageWhileMovingTest, ASuccessorWhoseDiskRotsGivesBackWhatItFillsAndIsHealed) {
    for (uint64_t seed = 0; seed < 18; ++seed) {
        SCOPED_TRACE(seed);
        form_and_grow();
        isolate(4);
        run_for(seconds(1));
        // What it has goes into tables.
        restart(4);
        await([this] { return machine(4).is_up(); });
        rot_and_restart(4, seed);
        await([this] { return machine(4).is_up(); });
        run_for(seconds(5));
        heal();
        await([this] { return is_healed(4); });
        finish();
        expect_all("value");
    }
    EXPECT_GT(hits_of("move_fill_declined"), 0u);
}

}  // namespace
}  // namespace starling::sim
