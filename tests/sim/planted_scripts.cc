#include "tests/sim/planted_scripts.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "node/replica/group_access.h"
#include "node/server/inspect.h"
#include "tests/sim/table_damage.h"

namespace starling::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Replaces nothing, asks nobody first.
constexpr Replaces nothing_seen = Replaces::seen;

}  // namespace

RunOptions Script::tiny_memtables(uint32_t nodes) {
    RunOptions options = plain(nodes, nodes);
    options.node.memory_bytes_max = 256u << 10;
    options.workload.keys = 200;
    return options;
}

RunOptions Script::slow_repair(uint32_t nodes) {
    RunOptions options = plain(nodes, nodes);
    options.node.hint_interval = seconds(30);
    options.node.entropy_interval = seconds(60);
    return options;
}

RunOptions Script::with_policies(RunOptions options) {
    options.workload.policy_namespaces = true;
    return options;
}

RunOptions Script::unaudited(RunOptions options) {
    options.audit_interval = 1'000'000;
    options.audit_deaths = false;
    return options;
}

void Script::use_key_of_last_bucket() {
    const Oracle& oracle = simulation_->oracle();
    const auto bucket = [&] {
        return node::bucket_of(node::group_key(simulation_->operations().name_space_of(key()).id,
                                               oracle.key(key()).key));
    };
    size_t number = 0;
    for (use_key(0); bucket() != node::bucket_count - 1; use_key(++number))
        ASSERT_LT(number + 1, oracle.key_count());
}

void Script::power_cut() {
    for (const auto& each : simulation_->cluster().machines())
        crash(each->number(), env::CrashMode::lost, milliseconds(100));
    run_for(seconds(10));
}

void Script::put_on_all(size_t keys, env::SimRandom& random) {
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        std::string value;
        while (value.size() < 700)
            value += static_cast<char>('!' + random.below(90));
        put(1, value, {.w = 3});
    }
}

void Script::a_put_is_acknowledged_by_three_nodes() {
    settle(plain(3, 3));
    for (uint32_t node = 1; node <= 3; ++node)
        machine(node).workers().set_slowness(100);
    put(1, "v", {.w = 3});
    for (uint32_t node = 1; node <= 3; ++node)
        machine(node).workers().set_slowness(1);
}

// Only the coordinator and the stand-in are left to take the write.
void Script::a_stand_in_with_a_slow_disk_keeps_a_hint() {
    settle(plain(4, 4));
    const std::vector<uint32_t> seats = holders();
    const uint32_t stand_in = 1 + 2 + 3 + 4 - seats[0] - seats[1] - seats[2];
    crash(seats[1], env::CrashMode::lost, seconds(60));
    crash(seats[2], env::CrashMode::lost, seconds(60));
    run_for(seconds(30));
    machine(stand_in).workers().set_slowness(300);
    put(seats[0], "v", {.replaces = nothing_seen});
    machine(stand_in).workers().set_slowness(1);
    run_for(seconds(40));
}

void Script::a_stand_in_keeps_two_hints_for_a_key() {
    settle(plain(4, 4));
    const std::vector<uint32_t> seats = holders();
    crash(seats[1], env::CrashMode::lost, seconds(60));
    crash(seats[2], env::CrashMode::lost, seconds(60));
    run_for(seconds(30));
    put(seats[0], "v", {.replaces = nothing_seen});
    put(seats[0], "w", {.replaces = nothing_seen});
    run_for(seconds(40));
}

void Script::the_coordinator_is_alone() {
    settle(plain(3, 3));
    isolate(1);
    put(1, "v", {.replaces = nothing_seen, .deadline = milliseconds(500)});
    heal();
}

// The third seat stays without an answer until its holder is asked again.
void Script::a_holder_is_asked_twice_while_another_is_away() {
    settle(plain(3, 3));
    const std::vector<uint32_t> seats = holders();
    cut(seats[0], seats[1]);
    put(seats[0], "v", {.replaces = nothing_seen, .w = 3, .deadline = milliseconds(900)});
    heal();
}

void Script::a_sync_fails() {
    settle(plain(3, 3));
    machine(1).files().faults().fail_next(env::FileOperation::sync);
    put(1, "v", {.w = 3, .deadline = milliseconds(500)});
    crash(1, env::CrashMode::lost, milliseconds(100));
    run_for(seconds(5));
}

void Script::the_power_fails_after_many_flushes() {
    settle(tiny_memtables(3));
    for (size_t i = 0; i < 60; ++i) {
        use_key(i % 20);
        put(1, "v" + std::to_string(i) + std::string(3'000, 'v'), {.w = 3});
    }
    power_cut();
}

void Script::all_seats_are_asked() {
    settle(plain(3, 3));
    put(1, "v", {.w = 1});
    read(2, 3);
}

// The first node has a note that the third lacks "b"; meanwhile the others have written "c".
void Script::a_node_with_a_hint_reads_alone() {
    settle(plain(3, 3));
    put(1, "a", {.w = 3});
    cut(1, 3);
    put(1, "b");
    run_for(seconds(1));
    isolate(1);
    put(2, "c");
    read(1, 2);
    heal();
}

// "x" is on the first node alone, until a read through the second returns it.
void Script::a_read_repairs_its_coordinator() {
    settle(slow_repair(3));
    isolate(1);
    put(1, "x", {.replaces = nothing_seen, .deadline = milliseconds(300)});
    only_isolated(3);
    read(2, 2);
    only_isolated(1);
    // Until the second and the third have found one another again.
    for (int i = 0; i < 5; ++i)
        read(2, 2);
    heal();
}

// The third node has what the put replaced, when a read sends it the put.
void Script::a_read_repairs_what_was_replaced() {
    settle(slow_repair(3));
    put(1, "old", {.w = 3});
    const ReadOutcome seen = read(2, 3);
    isolate(3);
    put(2, "new", {.replaces = Replaces::seen, .context = seen.context});
    heal();
    read(1, 3);
    only_isolated(3);
    read(3, 1);
    heal();
}

void Script::many_keys_are_read_from_tables() {
    settle(unaudited(tiny_memtables(3)));
    for (size_t i = 0; i < 200; ++i) {
        use_key(i);
        put(1, std::string(500, 'v'), {.w = 3});
    }
    run_for(seconds(5));
    for (size_t i = 0; i < 200; ++i) {
        use_key(i);
        read(2, 2);
    }
}

void Script::three_siblings_are_read() {
    settle(plain(3, 3));
    for (uint32_t node = 1; node <= 3; ++node)
        put(node, "s" + std::to_string(node), {.replaces = nothing_seen});
    read(1, 3);
}

void Script::two_siblings_are_read() {
    settle(plain(3, 3));
    put(1, "a", {.replaces = nothing_seen});
    put(2, "b", {.replaces = nothing_seen});
    read(3, 3);
}

void Script::a_session_reads_where_its_write_is_missing() {
    settle(slow_repair(3));
    isolate(3);
    const PutOutcome written = put(1, "v", {.session = SessionSeen()});
    // Only this one, which lacks it, and one that has it.
    heal();
    cut(1, 3);
    read(3, 1, written.session);
    heal();
}

void Script::a_node_that_missed_a_delete_is_asked() {
    settle(plain(3, 3));
    put(1, "v", {.w = 3});
    cut(1, 3);
    remove(1);
    only_isolated(1);
    read(2, 2);
    heal();
}

// Who has collected it has forgotten in a restart that all had seen it.
void Script::a_read_repairs_who_has_collected_a_delete() {
    settle(unaudited(slow_repair(3)));
    put(1, "v", {.w = 3});
    remove(1, {.w = 3});
    const auto keeps_it = [this](uint32_t number) {
        node::ShardInspection inside;
        machine(number).node().inspect(inside);
        return std::ranges::any_of(inside.groups, [](const node::GroupInspection& group) {
            return !group.records.empty();
        });
    };
    // What each has to hear of that life it hears in its own time.
    crash(3, env::CrashMode::process, seconds(1));
    uint32_t first = 0;
    uint32_t other = 0;
    for (int i = 0; i < 100'000 && first == 0; ++i) {
        run_for(milliseconds(5));
        for (uint32_t number = 1; number <= 3; ++number)
            if (machine(number).is_up()) (keeps_it(number) ? other : first) = number;
    }
    ASSERT_TRUE(first != 0 && keeps_it(other));
    isolate(other);
    crash(first, env::CrashMode::kept, seconds(1));
    run_for(seconds(30));
    only_isolated(1 + 2 + 3 - first - other);
    for (int i = 0; i < 40 && !keeps_it(first); ++i)
        read(other, 2);
    EXPECT_TRUE(keeps_it(first)) << "no read has repaired it";
    heal();
}

// Until nobody can send the delete again.
void Script::a_node_misses_a_delete_for_long() {
    RunOptions options = unaudited(slow_repair(3));
    options.node.hint_bytes_max = 1;
    settle(options);
    put(1, "v", {.w = 3});
    isolate(3);
    remove(1);
    run_for(seconds(90));
    only_isolated(1);
    // Until the second and the third have found one another again.
    for (int i = 0; i < 40 && simulation_->verdict().ok(); ++i)
        read(2, 2);
    heal();
}

// Two keys: on one of them a dot that is there already trips a check of the node itself.
void Script::a_node_writes_restarts_and_writes() {
    settle(unaudited(plain(3, 3)));
    put(1, "a", {.w = 3});
    crash(1, env::CrashMode::lost, milliseconds(100));
    run_for(seconds(5));
    use_key(1);
    put(1, "b", {.w = 3});
}

// The only partition lies in one of two shards: nothing else makes the other one's data durable.
void Script::a_node_dies_before_it_has_written_to_all_shards() {
    RunOptions options = unaudited(plain(3, 3));
    options.shards = 2;
    settle(options);
    crash(3, env::CrashMode::lost, milliseconds(100));
    run_for(seconds(5));
}

void Script::a_value_is_read() {
    settle(plain(3, 3));
    put(1, "a", {.w = 3});
    read(2, 2);
}

void Script::puts_are_tried_again_through_other_nodes() {
    settle(plain(3, 3));
    for (int i = 0; i < 8; ++i) {
        simulation_->operations().put({.key = key(),
                                       .value = "v" + std::to_string(i),
                                       .replaces = nothing_seen,
                                       .tries_max = 2,
                                       .needless_retry = true},
                                      [](const PutOutcome&) {});
        run_for(milliseconds(100));
    }
    read(1, 3);
}

// On one of two keys the node with the greater id is the later one, on the other the one with the
// less.
void Script::writes_of_two_sides_meet_where_the_last_wins() {
    settle(with_policies(plain(3, 3)));
    for (const uint32_t later : {1U, 3U}) {
        use_key(later == 1 ? 2 : 3);
        isolate(3);
        put(4 - later, "earlier", {.replaces = Replaces::local, .w = 1});
        run_for(seconds(1));
        put(later, "later", {.replaces = Replaces::local, .w = 1});
        heal();
        run_for(seconds(30));
        read(2, 3);
    }
}

void Script::a_node_that_missed_a_write_gets_a_stale_one() {
    settle(with_policies(slow_repair(3)));
    use_key(4);
    put(1, "one", {.w = 3});
    const ReadOutcome one = read(3, 3);
    // Until "one" cannot be minted again.
    run_for(seconds(10));
    isolate(3);
    put(1, "two", {.replaces = Replaces::seen, .context = one.context});
    heal();
    put(3, "three", {.replaces = Replaces::seen, .context = one.context});
}

// Not by so much that its node would find the requests of clients too old.
void Script::a_clock_is_ahead_of_all_others() {
    settle(with_policies(plain(3, 3)));
    machine(3).wall_clock().jump(seconds(20));
    use_key(2);
    put(3, "of the future");
}

void Script::ask_again(WriteId id, const std::string& value) {
    node::PutRequest again;
    again.key = simulation_->oracle().key(key()).key;
    again.value = value;
    again.context = "";
    again.request = simulation_->oracle().history(key()).get(id).request;
    machine(2).post([this, again] { machine(2).node().put(again, [](const auto&) {}); });
    run_for(milliseconds(100));
}

void Script::a_request_arrives_again_after_it_was_replaced() {
    settle(plain(3, 3));
    const PutOutcome a = put(1, "a", {.replaces = nothing_seen, .w = 3});
    const ReadOutcome seen = read(1, 3);
    put(1, "b", {.replaces = nothing_seen, .context = seen.context, .w = 3});
    ask_again(a.id, "a");
    read(3, 3);
}

void Script::a_node_that_missed_a_put_gets_the_next() {
    settle(unaudited(slow_repair(3)));
    isolate(3);
    put(1, "one");
    heal();
    put(3, "two");
    read(1, 3);
}

// Some of the crashes tear the log between a frontier and the record that it belongs to.
void Script::a_node_crashes_while_it_stores_large_values() {
    settle(unaudited(plain(3, 3)));
    for (int i = 0; i < 40 && simulation_->verdict().ok(); ++i) {
        // Before it writes, between its writes, before it syncs.
        simulation_->cluster().crash_at_io(
            machine(3), 1 + static_cast<uint64_t>(i) % 4, env::CrashMode::torn, milliseconds(50));
        put(1, std::to_string(i) + std::string(6'000, 'v'), {.replaces = nothing_seen});
        wait_until([this] { return machine(3).is_up(); });
        // The first repairs the node, the second sees what that has done.
        read(1, 3);
        run_for(milliseconds(100));
        read(1, 3);
        put(1, std::to_string(i), {.w = 3});
    }
}

// It is read through all the time, while its data is given up and taken over from the others.
void Script::a_table_rots() {
    constexpr size_t keys = 40;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    // Taking over takes a while.
    options.node.entropy_bytes_per_second = 20'000;
    settle(options);
    env::SimRandom random(1);
    put_on_all(keys, random);
    for (int hit = 0; hit < 8 && simulation_->verdict().ok(); ++hit) {
        crash(3, env::CrashMode::process, milliseconds(10));
        run_for(seconds(1));
        machine(3).repair();
        const auto damage = find_table_damage(machine(3).files(), 1, random);
        if (!damage) continue;
        machine(3).rot(*damage);
        crash(3, env::CrashMode::process, milliseconds(10));
        run_for(seconds(5));
        for (size_t i = 0; i < 1000 && machine(3).node().is_healing(); ++i) {
            use_key(i % keys);
            read(3, 1);
            run_for(milliseconds(100));
        }
        // With each of these an earlier one is looked at, before a comparison brings what is
        // missing.
        for (size_t i = 0; i < 10; ++i) {
            use_key(i);
            put(1, "hit " + std::to_string(hit), {.w = 3});
        }
    }
}

// The second node lacks the put, the third has had it, and both are asked without the first.
void Script::a_disk_is_set_back() {
    RunOptions options = unaudited(plain(3, 3));
    options.node.hint_bytes_max = 1;
    settle(options);
    const auto old = machine(3).files().clone_after_crash();
    isolate(2);
    put(1, "acknowledged", {.replaces = nothing_seen});
    run_for(seconds(10));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    heal();
    cut(1, 2);
    wait_until([this] { return machine(3).is_up(); });
    for (int i = 0; i < 100; ++i) {
        read(2, 2);
        run_for(milliseconds(100));
    }
    heal();
}

// It and another holder have the write, and who tells it of its seat is the third one.
void Script::a_disk_is_set_back_to_before_its_node_held_a_seat() {
    RunOptions options = unaudited(plain(4, 3));
    options.node.hint_bytes_max = 1;
    form(options);
    simulation_->cluster().bring_up(4);
    wait_until([this] { return simulation_->cluster().is_member(machine(4)); });
    const auto old = machine(4).files().clone_after_crash();
    run_for(seconds(15));
    std::vector<uint32_t> others = holders();
    std::erase(others, 4);
    isolate(others[1]);
    put(others[0], "acknowledged", {.replaces = nothing_seen});
    run_for(seconds(10));
    crash(4, env::CrashMode::lost, seconds(1));
    machine(4).files().swap_for(*old);
    heal();
    isolate(others[0]);
    wait_until([this] { return machine(4).is_up() && seats_held_by(4) > 0; });
    for (int i = 0; i < 100; ++i) {
        read(others[1], 2);
        run_for(milliseconds(100));
    }
    heal();
}

// The seat of the second giver moves to a fourth node while it is asked: what it had told is still
// on its way when its data goes.
void Script::a_giver_lets_go_while_a_disk_is_refilled_from_it() {
    constexpr size_t keys = 60;
    constexpr auto first_held_up = milliseconds(4'000);
    constexpr auto last_held_up = milliseconds(6'000);
    for (auto held_up = first_held_up; held_up <= last_held_up; held_up += milliseconds(100)) {
        RunOptions options = unaudited(slow_repair(4));
        options.nodes_at_start = 3;
        options.workload.keys = keys;
        options.node.hint_bytes_max = 1;
        options.node.entropy_bytes_per_second = 3'000;
        options.node.deadline_max = seconds(4);
        options.node.deadline_limit = options.node.deadline_max;
        settle(options);
        const auto old = machine(3).files().clone_after_crash();
        for (size_t i = 0; i < keys; ++i) {
            use_key(i);
            put(1, "v", {.w = 3});
        }
        run_for(seconds(20));
        crash(3, env::CrashMode::lost, milliseconds(100));
        machine(3).files().swap_for(*old);
        run_for(milliseconds(4'100));
        simulation_->cluster().bring_up(4);
        run_for(held_up);
        env::SimNetwork& network = simulation_->network();
        for (const uint32_t giver : {1U, 2U})
            network.clog(machine(giver).address(), machine(3).address());
        run_for(milliseconds(3'400));
        for (const uint32_t giver : {1U, 2U})
            network.unclog(machine(giver).address(), machine(3).address());
        run_for(seconds(80));
        use_key(0);
        read(1, 2);
        if (!simulation_->verdict().ok()) return;
    }
}

void Script::a_disk_is_set_back_and_nobody_remembers_it() {
    bool is_met = false;
    for (uint64_t seed = 1; seed <= 80 && !is_met; ++seed)
        is_met = is_set_back_among_new_holders(seed);
    EXPECT_TRUE(is_met);
    read(3, 2);
}

// By then all have seen the put, and only a comparison of the trees shows that it is missing.
void Script::a_disk_is_set_back_to_before_a_put() {
    RunOptions options = unaudited(plain(3, 3));
    options.workload.keys = 1'000;
    settle(options);
    use_key_of_last_bucket();
    const auto old = machine(3).files().clone_after_crash();
    put(1, "v", {.w = 3});
    run_for(seconds(60));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    run_for(seconds(20));
}

// By then no tombstone is left anywhere.
void Script::a_disk_is_set_back_to_before_a_delete() {
    settle(unaudited(plain(3, 3)));
    put(1, "v", {.w = 3});
    run_for(seconds(60));
    const auto old = machine(3).files().clone_after_crash();
    remove(1, {.w = 3});
    run_for(seconds(180));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    run_for(seconds(20));
}

void Script::a_node_misses_a_write_and_takes_the_next() {
    settle(plain(3, 3));
    cut(1, 3);
    put(1, "a", {.replaces = nothing_seen});
    heal();
    use_key(1);
    put(1, "b", {.replaces = nothing_seen, .w = 3});
}

// Most of the disk is values, which nobody reads.
void Script::a_table_rots_and_nobody_looks() {
    constexpr size_t keys = 40;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.node.scrub_period = seconds(30);
    settle(options);
    env::SimRandom random(1);
    put_on_all(keys, random);
    crash(3, env::CrashMode::process, milliseconds(10));
    // What is to be reclaimed is, so that no compaction reads what rots.
    run_for(seconds(120));
    const auto damage = find_table_damage(machine(3).files(), 1, random);
    if (damage) machine(3).rot(*damage);
    simulation_->come_to_rest();
}

// What is written afterwards is of other keys: nobody reads what has rotted, but a compaction.
void Script::a_table_rots_and_is_compacted() {
    constexpr size_t keys_before = 40;
    RunOptions options = unaudited(tiny_memtables(3));
    settle(options);
    env::SimRandom random(1);
    put_on_all(keys_before, random);
    const auto damage = find_table_damage(machine(3).files(), 1, random);
    if (damage) machine(3).rot(*damage);
    for (size_t i = keys_before; i < options.workload.keys; ++i) {
        use_key(i);
        put(1, std::string(3'000, 'v'), {.w = 3});
    }
}

// Some of the crashes leave a record of which a part is missing.
void Script::a_power_cut_tears_a_log() {
    settle(unaudited(plain(3, 3)));
    for (int i = 0; i < 40 && simulation_->verdict().ok(); ++i) {
        use_key(static_cast<size_t>(i) % 2);
        simulation_->cluster().crash_at_io(
            machine(3), 1 + static_cast<uint64_t>(i) % 4, env::CrashMode::torn, milliseconds(50));
        put(1, std::to_string(i) + std::string(6'000, 'v'), {.replaces = nothing_seen});
        wait_until([this] { return machine(3).is_up(); });
        run_for(milliseconds(100));
        read(3, 3);
        put(1, std::to_string(i), {.w = 3});
    }
}

// What the others do not tell it of by a message it learns by comparison, or nobody does.
void Script::a_node_is_cut_off_from_a_put_and_read() {
    RunOptions options = unaudited(plain(3, 3));
    // No room for any.
    options.node.hint_bytes_max = 1;
    settle(options);
    isolate(3);
    put(1, "v", {.replaces = nothing_seen});
    run_for(seconds(5));
    heal();
    run_for(seconds(40));
    only_isolated(1);
    read(3, 2);
    heal();
}

// The put is on two disks when its coordinator dies; the third node hears of the coordinator's next
// life first.
void Script::a_coordinator_dies_before_all_have_its_put() {
    RunOptions options = unaudited(plain(3, 3));
    options.node.hint_interval = seconds(300);
    settle(options);
    isolate(3);
    put(1, "v", {.replaces = nothing_seen});
    crash(1, env::CrashMode::lost, milliseconds(100));
    run_for(seconds(5));
    heal();
    cut(2, 3);
    run_for(seconds(40));
    heal();
    run_for(seconds(40));
    only_isolated(1);
    read(3, 2);
    heal();
}

// The stand-in alone has the write for the second seat, which the coordinator does not reach. The
// holder comes back, and dies again when the stand-in has no hint any more: then it must have the
// write on its disk. The second put makes durable that the hint is gone, and has the promise of the
// first one looked at again.
void Script::a_hint_is_delivered_to_a_holder_that_dies() {
    settle(plain(4, 4));
    const std::vector<uint32_t> seats = holders();
    const uint32_t stand_in = 1 + 2 + 3 + 4 - seats[0] - seats[1] - seats[2];
    crash(seats[1], env::CrashMode::lost, seconds(40));
    crash(seats[2], env::CrashMode::lost, seconds(100));
    cut(seats[0], seats[1]);
    run_for(seconds(30));
    put(seats[0], "v", {.replaces = nothing_seen});
    wait_until([&] { return machine(seats[1]).is_up(); });
    machine(seats[1]).workers().set_slowness(1'000);
    wait_until([&] { return hints_kept_by(stand_in) == 0; });
    crash(seats[1], env::CrashMode::lost, seconds(10));
    use_key(1);
    put(seats[0], "w", {.replaces = nothing_seen});
    heal();
}

// As above, but the holder lives and the hint is to be delivered.
void Script::a_stand_in_meets_the_holder_again() {
    settle(plain(4, 4));
    const std::vector<uint32_t> seats = holders();
    crash(seats[1], env::CrashMode::lost, seconds(40));
    crash(seats[2], env::CrashMode::lost, seconds(100));
    cut(seats[0], seats[1]);
    run_for(seconds(30));
    put(seats[0], "v", {.replaces = nothing_seen});
    wait_until([&] { return machine(seats[1]).is_up(); });
    run_for(seconds(15));
    use_key(1);
    put(seats[0], "w", {.replaces = nothing_seen});
    heal();
}

// The values lie deep when their records are removed.
void Script::deleted_keys_are_compacted() {
    settle(unaudited(tiny_memtables(3)));
    int round = 0;
    const auto put_all = [this, &round](size_t from) {
        for (const int end = round + 3; round < end; ++round) {
            for (size_t i = from; i < 200; ++i) {
                use_key(i);
                put(1, std::to_string(round) + std::string(3'000, 'v'), {.w = 3});
            }
        }
    };
    put_all(0);
    for (size_t i = 0; i < 50; ++i) {
        use_key(i);
        remove(1, {.w = 3});
    }
    run_for(seconds(120));
    put_all(50);
    run_for(seconds(10));
}

void Script::a_value_is_deleted() {
    settle(plain(3, 3));
    put(1, "v", {.w = 3});
    remove(1, {.w = 3});
}

void Script::a_node_stops_in_order_and_dies_in_its_next_life() {
    settle(plain(3, 3));
    put(1, "v", {.w = 3});
    simulation_->cluster().stop(machine(3), seconds(1));
    run_for(seconds(10));
    put(1, "next", {.w = 3});
    crash(3, env::CrashMode::lost, seconds(1));
    run_for(seconds(5));
}

// The second node misses what the others wrote; the third starts on a log with a flipped bit.
void Script::a_log_is_damaged_before_its_end() {
    settle(plain(3, 3));
    for (int i = 0; i < 20; ++i)
        put(1, "v" + std::to_string(i), {.w = 3});
    cut(1, 2);
    put(1, "last");
    crash(3, env::CrashMode::lost, seconds(5));
    only_isolated(1);
    const auto started = simulation_->cluster().start_on_damaged_log(machine(3));
    ASSERT_TRUE(started.has_value());
    run_for(seconds(1));
    if (!started->ok()) run_for(seconds(10));
    read(2, 2);
    heal();
}

void Script::a_cluster_grows_and_its_founder_is_cut_off() {
    form(plain(3, 1));
    put(1, "v", {.w = 3});
    simulation_->cluster().bring_up(2);
    wait_until([this] { return seats_held_by(2) > 0; });
    cut(1, 2);
    simulation_->cluster().bring_up(3);
    wait_until([this] { return seats_held_by(3) > 0; });
    cut(1, 3);
    run_for(seconds(1));
    read(2, 2);
    heal();
}

void Script::a_giver_is_cut_off_after_its_seat_has_moved() {
    form(plain(3, 2));
    put(1, "a", {.w = 3});
    run_for(seconds(5));
    const uint32_t giver = seats_held_by(1) > 1 ? 1 : 2;
    simulation_->cluster().bring_up(3);
    wait_until([this] { return seats_held_by(3) > 0; });
    isolate(giver);
    run_for(seconds(1));
    put(3, "b", {.replaces = nothing_seen});
    read(giver, 2);
    heal();
}

void Script::a_cluster_grows() {
    form(plain(3, 1));
    put(1, "v", {.w = 3});
    simulation_->cluster().bring_up(2);
    simulation_->cluster().bring_up(3);
}

void Script::a_cluster_with_many_partitions_rests() {
    RunOptions options = plain(5, 5);
    options.node.partition_count = 8;
    settle(options);
}

void Script::a_node_is_cut_off_and_comes_back() {
    settle(plain(3, 3));
    isolate(3);
    run_for(seconds(30));
    heal();
}

void Script::two_nodes_work_without_the_third() {
    settle(plain(3, 3));
    put(1, "v", {.w = 3});
    simulation_->work_on_core();
    if (simulation_->verdict().ok()) {
        EXPECT_NE(simulation_->result().core.find("without"), std::string::npos);
    }
}

void Script::a_node_catches_up_without_the_third() {
    RunOptions options = unaudited(plain(3, 3));
    options.node.partition_count = 256;
    options.node.hint_bytes_max = 0;
    options.workload.keys = 40;
    form(options);
    run_for(seconds(60));
    isolate(3);
    for (size_t i = 0; i < 40; ++i) {
        use_key(i);
        put(1, "v");
    }
    only_isolated(1);
    simulation_->check_core({&machine(2), &machine(3)});
    heal();
}

void Script::a_node_misses_more_than_hints_have_room_for() {
    RunOptions options = plain(3, 3);
    options.node.hint_bytes_max = 1024;
    settle(options);
    isolate(3);
    for (int i = 0; i < 100; ++i)
        put(1, "v" + std::to_string(i));
    run_for(seconds(15));
    heal();
}

void Script::a_value_expires() {
    settle(plain(3, 3));
    put(1, "v", {.w = 3, .ttl = seconds(5)});
    run_for(seconds(30));
    read(2);
}

void Script::one_of_two_siblings_expires() {
    settle(plain(3, 3));
    put(1, "expires", {.replaces = nothing_seen, .w = 3, .ttl = seconds(5)});
    put(1, "stays", {.replaces = nothing_seen, .w = 3});
    run_for(seconds(30));
    read(2);
}

}  // namespace starling::sim
