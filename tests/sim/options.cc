#include "tests/sim/options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "env/sim/random.h"
#include "node/server/memory_division.h"

namespace starling::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr uint32_t nodes_max = 9;

// Groups are compared pair by pair: with many of them a small simulation would do little else.
constexpr uint32_t comparisons_per_second = 40;
uint32_t comparisons_per_interval(const node::NodeOptions& node) {
    return node.partition_count * node.seat_count * (node.seat_count - 1);
}

// Draws of one group of options, from a stream of its own: a new option shifts no other group.
class Draw {
  public:
    Draw(uint64_t seed, std::string_view group) : random_(env::SimRandom(seed).fork(group)) {}

    bool chance(uint32_t percent) { return random_.below(100) < percent; }
    uint32_t between(uint32_t low, uint32_t high) {
        return low + static_cast<uint32_t>(random_.below(high - low + 1));
    }
    base::Duration between(base::Duration low, base::Duration high) {
        return random_.between(low, high);
    }
    template <typename T, size_t count>
    T one_of(const std::array<T, count>& choices) {
        return choices[random_.below(count)];
    }
    uint64_t next() { return random_.next(); }

  private:
    env::SimRandom random_;
};

node::NodeOptions simulated_node() {
    node::NodeOptions node;
    node.cluster_name = "simulated";
    node.cluster_secret = "a secret of the simulation only";
    node.engine = "lsm";
    node.deadline_limit = node.deadline_max;
    return node;
}

void draw_cluster(RunOptions& options, const Asked& asked) {
    Draw draw(asked.seed, "options: cluster");
    constexpr std::array<uint32_t, 12> node_counts = {1, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, nodes_max};
    options.nodes = asked.nodes.value_or(draw.one_of(node_counts));
    options.nodes_at_start = draw.chance(50) ? options.nodes : draw.between(1, options.nodes);
    options.shards = draw.one_of(std::array<uint32_t, 5>{1, 1, 2, 2, 3});
    options.duration = asked.duration;
    options.worker_delay_mean = draw.chance(70) ? draw.between(microseconds(50), microseconds(500))
                                                : draw.between(milliseconds(1), milliseconds(20));
    options.node = simulated_node();
    node::NodeOptions& node = options.node;
    node.partition_count =
        draw.one_of(std::array<uint32_t, 10>{1, 1, 4, 8, 8, 16, 16, 32, 64, 256});
    if (options.nodes > 3) node.partition_count = std::min(node.partition_count, 64u);
    node.seat_count = draw.one_of(std::array<uint32_t, 8>{1, 2, 3, 3, 3, 3, 3, 3});
    Draw placement(asked.seed, "options: more seats, zones");
    if (placement.chance(20)) {
        node.seat_count = placement.between(4, 5);
        node.partition_count = std::min(node.partition_count, 8u);
    }
    if (placement.chance(30)) options.zones = placement.between(2, 4);
    node.hint_bytes_max = draw.chance(15) ? 0 : draw.chance(20) ? 4096 : 1u << 20;
    node.value_bytes_max = 2u << 20;
    node.siblings_max = draw.chance(10) ? 3 : 64;
    // A sixteenth of a shard's share is one memtable: the smaller ones flush and compact all the
    // time.
    constexpr std::array<uint64_t, 5> memories = {
        256u << 10, 1u << 20, 2u << 20, 8u << 20, 64u << 20};
    node.memory_bytes_max = draw.one_of(memories) * options.shards;
    node.hint_after = draw.between(milliseconds(20), milliseconds(400));
    node.hint_interval = draw.between(milliseconds(100), seconds(2));
    node.entropy_interval = std::max<base::Duration>(
        draw.between(seconds(1), seconds(15)),
        comparisons_per_interval(node) * seconds(1) / comparisons_per_second);
    node.gossip_probe_interval = draw.between(milliseconds(200), seconds(1));
    node.fills_at_once = draw.one_of(std::array<uint32_t, 3>{1, 2, 8});
    Draw pace(asked.seed, "options: pace of anti-entropy");
    if (pace.chance(30)) {
        node.entropy_bytes_per_second = pace.between(uint64_t{16} << 10, uint64_t{1} << 20);
    }
    node.entropy_pause_latency = pace.between(milliseconds(5), milliseconds(200));
    // Mostly so small that a pull takes many.
    constexpr std::array<size_t, 5> pages = {1, 200, 1000, 10'000, 256 << 10};
    node.entropy_page_bytes = pace.one_of(pages);
    node.entropy_sessions_max = pace.one_of(std::array<uint32_t, 3>{1, 2, 4});
    Draw storage(asked.seed, "options: storage");
    if (storage.chance(30)) {
        node.compaction_bytes_per_second = storage.between(16u << 10, 2u << 20);
    }
    // Memtables as small as they may be.
    if (storage.chance(15)) {
        node.block_cache_bytes = node::MemoryDivision::block_cache_most(node.memory_bytes_max);
    }
    node.scrub_period = Draw(asked.seed, "options: scrub").between(seconds(20), seconds(60));
    // So that a stop gives up what is under way, now and then.
    node.drain_max = storage.between(milliseconds(1), seconds(4));
}

void draw_weather(FaultOptions& faults, Draw& draw) {
    env::SimLinkFaults& weather = faults.weather;
    if (draw.chance(50))
        weather.loss_per_million =
            draw.chance(75) ? draw.between(100, 30'000) : draw.between(30'000, 300'000);
    if (draw.chance(40)) {
        weather.delay_mean = draw.chance(70) ? draw.between(microseconds(100), milliseconds(5))
                                             : draw.between(milliseconds(5), milliseconds(100));
    }
    if (draw.chance(30)) {
        weather.tail_per_million = draw.between(100, 5'000);
        weather.tail_max = draw.between(milliseconds(100), seconds(10));
    }
    if (draw.chance(40)) {
        weather.duplicate_per_million =
            draw.chance(60) ? draw.between(1'000, 50'000) : draw.between(50'000, 500'000);
        weather.replay_delay_max = draw.chance(70) ? draw.between(milliseconds(1), seconds(2))
                                                   : draw.between(seconds(2), minutes(2));
    }
    if (draw.chance(40)) weather.reorder_per_million = draw.between(1'000, 300'000);
    if (draw.chance(25)) weather.corrupt_per_million = draw.between(100, 3'000);
    if (draw.chance(25)) weather.reset_per_million = draw.between(100, 3'000);
    if (draw.chance(8)) weather.capacity_bytes = draw.between(64u << 10, 1u << 20);
    faults.weather_comes_and_goes = draw.chance(60) || weather.loss_per_million > 100'000 ||
                                    weather.delay_mean > milliseconds(30);
}

void draw_faults(RunOptions& options) {
    Draw draw(options.seed, "options: faults");
    FaultOptions& faults = options.faults;
    // A twentieth of the runs is quiet, another has everything.
    if (draw.chance(5)) return;
    const uint32_t percent = draw.chance(5) ? 100 : draw.between(15, 50);
    if (draw.chance(70)) draw_weather(faults, draw);
    for (bool* const on : {&faults.partitions,
                           &faults.one_way_partitions,
                           &faults.bridges,
                           &faults.clogs,
                           &faults.swizzles,
                           &faults.resets,
                           &faults.clock_jumps,
                           &faults.clock_strobes,
                           &faults.pauses,
                           &faults.crashes,
                           &faults.crashes_at_io,
                           &faults.crashes_of_all,
                           &faults.slow_disks,
                           &faults.full_disks,
                           &faults.failing_syncs}) {
        *on = draw.chance(percent);
    }
    Draw more(options.seed, "options: more faults");
    for (bool* const on :
         {&faults.failing_io, &faults.damaged_tables, &faults.stops, &faults.absences}) {
        *on = more.chance(percent);
    }
    const bool restarts =
        faults.crashes || faults.crashes_at_io || faults.crashes_of_all || faults.stops;
    Draw late(options.seed, "options: half-open connections, slow syncs, paths that block");
    for (bool* const on : {&faults.half_open, &faults.slow_syncs})
        *on = late.chance(percent);
    faults.weather.waits_for_capacity = late.chance(50);
    faults.wrong_configurations = restarts && more.chance(25);
    faults.crashes_in_recovery =
        (faults.crashes || faults.crashes_at_io || faults.crashes_of_all) && draw.chance(40);
    faults.damaged_logs = (faults.crashes || faults.crashes_at_io || faults.crashes_of_all) &&
                          Draw(options.seed, "options: damaged logs").chance(25);
    if (draw.chance(percent))
        faults.drift_per_million_max = static_cast<int32_t>(draw.between(100, 50'000));
    if (draw.chance(percent / 2)) {
        faults.late_timers_per_million = draw.between(100, 10'000);
        faults.timer_lateness_max =
            draw.chance(80) ? draw.between(milliseconds(10), seconds(2)) : seconds(60);
    }
    faults.gap_mean = draw.between(seconds(3), seconds(20));
    faults.length_mean = draw.chance(80) ? draw.between(milliseconds(500), seconds(6))
                                         : draw.between(seconds(6), seconds(20));
    faults.episodes_at_once = draw.between(1, 3);
}

// What a node with a wrong clock decides while it hears the others all the time (I22).
void draw_wrong_clocks_alone(RunOptions& options) {
    Draw draw(options.seed, "options: wrong clocks alone");
    if (options.nodes == 1 || !draw.chance(4)) return;
    options.nodes_at_start = options.nodes;
    FaultOptions alone;
    alone.clock_jumps = true;
    alone.clock_strobes = draw.chance(50);
    alone.gap_mean = draw.between(seconds(3), seconds(20));
    alone.length_mean = draw.between(seconds(1), seconds(10));
    options.faults = alone;
}

void draw_workload(RunOptions& options) {
    Draw draw(options.seed, "options: workload");
    WorkloadOptions& workload = options.workload;
    workload.clients = draw.between(1, 8);
    workload.keys = draw.chance(30) ? draw.between(1, 3) : draw.between(2, 50);
    workload.puts = draw.between(25, 55);
    workload.deletes = draw.between(0, 15);
    workload.read_modify_writes = draw.between(0, 20);
    // A third of the runs has no put without context, so that every lost sibling shows.
    workload.races = draw.between(2, 8);
    workload.without_context = draw.chance(33) ? 0 : draw.between(10, 80);
    workload.blind = draw.chance(50) ? 0 : draw.between(1, 10);
    workload.empty_context = draw.chance(30) ? 0 : draw.between(1, 15);
    workload.stale_context = draw.between(0, 20);
    workload.own_context = draw.between(0, 15);
    workload.needless_retries = draw.chance(50) ? 30 : 5;
    Draw repeats(options.seed, "options: what is sent again");
    // Who holds a group alone forgets its requests by its own clock, too early when that is ahead.
    const bool clocks_jump = options.faults.clock_jumps || options.faults.clock_strobes;
    if (!clocks_jump && repeats.chance(60)) workload.sent_again = repeats.between(2, 15);
    workload.own_quorums = draw.chance(40) ? 0 : draw.between(10, 80);
    workload.strict_quorums = draw.between(0, 10);
    workload.nasty_keys = draw.chance(30);
    workload.nasty_values = draw.chance(40);
    if (draw.chance(30))
        workload.second_namespace_replicas = draw.between(1, options.node.seat_count);
    const bool has_wrong_clocks_alone = clocks_jump && !options.faults.any_but_clocks();
    workload.policy_namespaces =
        Draw(options.seed, "options: policies").chance(30) || has_wrong_clocks_alone;
    if (workload.policy_namespaces) {
        Draw editors(options.seed, "options: editors");
        workload.editors = editors.between(2, 4);
        workload.documents = editors.between(1, 2);
        workload.thought_mean = editors.between(milliseconds(300), seconds(2));
        workload.blind_last = Draw(options.seed, "options: last writes").between(0, 80);
    }
    // `default` has an N of 3 at most.
    if (const uint32_t seats = options.node.seat_count; seats > 3) {
        Draw replicas(options.seed, "options: more replicas");
        if (replicas.chance(75)) workload.second_namespace_replicas = replicas.between(4, seats);
        workload.policy_replicas = replicas.between(3, seats);
    }
    Draw expiry(options.seed, "options: expiry");
    if (expiry.chance(60)) workload.expiring = expiry.between(5, 50);
    workload.lone_users = draw.between(0, 2);
    workload.session_users = Draw(options.seed, "options: sessions").between(0, 2);
    workload.link_delay_mean = draw.between(microseconds(100), milliseconds(10));
    if (draw.chance(50)) workload.link_loss_per_million = draw.between(1'000, 100'000);
    if (draw.chance(50)) workload.link_duplicates_per_million = draw.between(1'000, 100'000);
}

// Much that is missed at once, and nobody but the comparison of replicas to bring it: in many
// pages, some of which are lost on the way. Drawn together, as each alone is harmless.
void draw_imports(RunOptions& options) {
    Draw draw(options.seed, "options: imports");
    if (!draw.chance(40)) return;
    options.workload.imported_keys = draw.between(20, 80);
    if (!options.faults.any_but_clocks() || !draw.chance(60)) return;
    options.node.hint_bytes_max = 0;
    options.node.entropy_page_bytes = draw.one_of(std::array<size_t, 3>{1, 200, 1000});
    uint32_t& loss = options.faults.weather.loss_per_million;
    loss = std::max(loss, draw.between(10'000, 100'000));
}

// A disk is set back when all nodes are well, which they seldom are where much goes wrong: in most
// of its runs the nodes only miss writes of each other, and compare late.
void draw_set_backs_alone(RunOptions& options) {
    Draw draw(options.seed, "options: set-back disks alone");
    if (!options.faults.set_back_disks || !draw.chance(60)) return;
    FaultOptions alone;
    alone.set_back_disks = true;
    alone.partitions = true;
    alone.weather.loss_per_million = draw.between(0, 50'000);
    alone.weather_comes_and_goes = draw.chance(50);
    alone.gap_mean = draw.between(seconds(1), seconds(4));
    alone.length_mean = draw.between(milliseconds(500), seconds(6));
    alone.episodes_at_once = 1;
    options.faults = alone;
    options.node.hint_bytes_max = 0;
    // A refill begins once no request can be left from before.
    options.node.deadline_max = draw.between(seconds(4), seconds(10));
    options.node.deadline_limit = options.node.deadline_max;
    // Pages wait for clients: a refill of many small ones lasts for the rest of the run.
    options.node.entropy_page_bytes = std::max<size_t>(options.node.entropy_page_bytes, 10'000);
}

// A clock that goes wrong has requests forgotten too early, or taken for young: then what failed
// may come to exist long after, and replace what the canary wrote since.
void draw_canary(RunOptions& options) {
    Draw draw(options.seed, "options: canary");
    if (options.nodes == 1 || options.faults.clocks_go_wrong() || !draw.chance(50)) return;
    options.node.canary = true;
    options.node.canary_interval = draw.between(milliseconds(200), seconds(1));
}

double in_seconds(base::Duration duration) {
    return static_cast<double>(duration.count()) * 1e-9;
}

constexpr auto all_fault_classes = std::to_array<FaultClass>({
    {"partition", &FaultOptions::partitions},
    {"one-way partition", &FaultOptions::one_way_partitions},
    {"bridge", &FaultOptions::bridges},
    {"clog", &FaultOptions::clogs},
    {"swizzle", &FaultOptions::swizzles},
    {"reset", &FaultOptions::resets},
    {"half-open", &FaultOptions::half_open},
    {"clock jump", &FaultOptions::clock_jumps},
    {"clock strobe", &FaultOptions::clock_strobes},
    {"pause", &FaultOptions::pauses},
    {"long pause", &FaultOptions::long_pauses},
    {"crash", &FaultOptions::crashes},
    {"crash at I/O", &FaultOptions::crashes_at_io},
    {"crash in recovery", &FaultOptions::crashes_in_recovery, &FaultOptions::crashes},
    {"crash of all", &FaultOptions::crashes_of_all},
    {"slow disk", &FaultOptions::slow_disks},
    {"slow syncs", &FaultOptions::slow_syncs},
    {"full disk", &FaultOptions::full_disks},
    {"failing sync", &FaultOptions::failing_syncs},
    {"failing I/O", &FaultOptions::failing_io},
    {"damaged log", &FaultOptions::damaged_logs, &FaultOptions::crashes},
    {"damaged table", &FaultOptions::damaged_tables},
    {"rotten table", &FaultOptions::rotten_tables},
    {"set-back disk", &FaultOptions::set_back_disks},
    {"stop", &FaultOptions::stops},
    {"wrong configuration", &FaultOptions::wrong_configurations, &FaultOptions::stops},
    {"absence", &FaultOptions::absences},
});

std::string describe_episodes(const FaultOptions& faults) {
    std::string out;
    for (const FaultClass& each : fault_classes()) {
        if (faults.*each.is_on) out += fmt::format("{}{}", out.empty() ? "" : ", ", each.name);
    }
    return out.empty() ? "none" : out;
}

}  // namespace

std::span<const FaultClass> fault_classes() {
    return all_fault_classes;
}

bool is_bad(const env::SimLinkFaults& weather) {
    const env::SimLinkFaults calm;
    return weather.loss_per_million != 0 || weather.tail_per_million != 0 ||
           weather.duplicate_per_million != 0 || weather.reorder_per_million != 0 ||
           weather.corrupt_per_million != 0 || weather.reset_per_million != 0 ||
           weather.delay_mean != calm.delay_mean || weather.capacity_bytes != calm.capacity_bytes;
}

bool FaultOptions::any() const {
    return std::ranges::any_of(fault_classes(),
                               [this](const FaultClass& each) { return this->*each.is_on; }) ||
           drift_per_million_max != 0 || late_timers_per_million != 0 || is_bad(weather);
}

bool FaultOptions::any_but_clocks() const {
    FaultOptions others = *this;
    others.clock_jumps = false;
    others.clock_strobes = false;
    return others.any();
}

RunOptions draw_options(const Asked& asked) {
    RunOptions options;
    options.seed = asked.seed;
    draw_cluster(options, asked);
    draw_faults(options);
    draw_wrong_clocks_alone(options);
    draw_workload(options);
    draw_imports(options);
    // A write that one replica alone acknowledged may rot with its disk, and so may all of a group
    // that has but one.
    const bool may_lose_a_disk =
        options.faults.any_but_clocks() && options.nodes >= 3 && options.node.seat_count >= 3 &&
        options.workload.own_quorums == 0 && options.workload.second_namespace_replicas != 1;
    options.faults.rotten_tables =
        may_lose_a_disk && Draw(options.seed, "options: rotten tables").chance(50);
    // A node whose timers are late may not ask in time what others remember.
    options.faults.set_back_disks = may_lose_a_disk &&
                                    options.faults.late_timers_per_million == 0 &&
                                    Draw(options.seed, "options: set-back disks").chance(80);
    draw_set_backs_alone(options);
    // The others go on meanwhile; and a disk is set back when nothing else is at work.
    options.faults.long_pauses = options.faults.any_but_clocks() && options.nodes >= 3 &&
                                 options.node.seat_count >= 3 && !options.faults.set_back_disks &&
                                 Draw(options.seed, "options: long pauses").chance(8);
    draw_canary(options);
    options.core_phase = Draw(options.seed, "options: core").chance(50);
    // A request must fit into what a shard may have under way: a quarter of its share.
    if (options.workload.nasty_keys) {
        options.node.memory_bytes_max =
            std::max<uint64_t>(options.node.memory_bytes_max, (1u << 20) * options.shards);
        // A page names each key once: where hardly one fits, all that travels is keys.
        options.node.entropy_page_bytes =
            std::max<size_t>(options.node.entropy_page_bytes, 256u << 10);
        // A page stores its key with each write, so it has four of a key of 64 KiB: who missed
        // thousands of them is sent that key as often as a quarter of that.
        if (options.node.entropy_bytes_per_second > 0) {
            options.node.entropy_bytes_per_second = std::max<uint64_t>(
                options.node.entropy_bytes_per_second, (2u << 20) * options.shards);
        }
    }
    return options;
}

RunOptions calm_options(uint64_t seed) {
    RunOptions options;
    options.seed = seed;
    options.duration = minutes(1);
    options.node = simulated_node();
    options.node.partition_count = 8;
    options.node.memory_bytes_max = 256u << 10;
    options.node.entropy_interval = seconds(2);
    options.node.scrub_period = seconds(20);
    return options;
}

RunOptions only_fault(const FaultClass& fault_class, uint64_t seed) {
    RunOptions options = calm_options(seed);
    options.faults.*fault_class.is_on = true;
    if (fault_class.needs != nullptr) options.faults.*fault_class.needs = true;
    options.faults.gap_mean = seconds(3);
    options.faults.length_mean = seconds(2);
    // What one replica alone acknowledged may be lost with its disk.
    if (options.faults.may_lose_a_disk()) options.workload.own_quorums = 0;
    return options;
}

std::string to_string(const RunOptions& options) {
    const node::NodeOptions& node = options.node;
    const FaultOptions& faults = options.faults;
    const env::SimLinkFaults& weather = faults.weather;
    const WorkloadOptions& workload = options.workload;
    std::string out = fmt::format(
        "seed {}: {} nodes ({} at start{}), {} shards, Q={}, seats={}, {:.0f} simulated seconds\n",
        options.seed,
        options.nodes,
        options.nodes_at_start,
        options.zones == 0 ? "" : fmt::format(", in {} zones", options.zones),
        options.shards,
        node.partition_count,
        node.seat_count,
        in_seconds(options.duration));
    out += fmt::format(
        "  node: hint budget {} B, memory {} KiB, compaction {} KiB/s, siblings {}, hints after "
        "{:.3f} s, entropy every {:.1f} s, {} KiB/s in pages of {} B, {} at once, scrubbed in "
        "{:.0f} s, probe "
        "every {:.2f} s, {} fills at once\n",
        node.hint_bytes_max,
        node.memory_bytes_max >> 10,
        node.compaction_bytes_per_second >> 10,
        node.siblings_max,
        in_seconds(node.hint_after),
        in_seconds(node.entropy_interval),
        node.entropy_bytes_per_second >> 10,
        node.entropy_page_bytes,
        node.entropy_sessions_max,
        in_seconds(node.scrub_period),
        in_seconds(node.gossip_probe_interval),
        node.fills_at_once);
    if (node.canary)
        out += fmt::format("  canaries: one operation in {:.2f} s\n",
                           in_seconds(node.canary_interval));
    out += fmt::format(
        "  weather{} (per million): loss {}, delay {:.1f} ms, tail {} to {:.1f} s, duplicates {} "
        "to {:.1f} s, "
        "reordered {}, corrupt {}, resets {}, capacity {}\n",
        faults.weather_comes_and_goes ? " that comes and goes" : "",
        weather.loss_per_million,
        in_seconds(weather.delay_mean) * 1e3,
        weather.tail_per_million,
        in_seconds(weather.tail_max),
        weather.duplicate_per_million,
        in_seconds(weather.replay_delay_max),
        weather.reorder_per_million,
        weather.corrupt_per_million,
        weather.reset_per_million,
        weather.capacity_bytes == UINT64_MAX
            ? "unlimited"
            : fmt::format("{} B{}",
                          weather.capacity_bytes,
                          weather.waits_for_capacity ? ", and then they wait" : ""));
    out += fmt::format(
        "  episodes: {}; one in {:.1f} s, {:.1f} s long, {} at once; drift {} ppm, {} late timers "
        "per million by {:.1f} s\n",
        describe_episodes(faults),
        in_seconds(faults.gap_mean),
        in_seconds(faults.length_mean),
        faults.episodes_at_once,
        faults.drift_per_million_max,
        faults.late_timers_per_million,
        in_seconds(faults.timer_lateness_max));
    out += fmt::format(
        "  clients: {} on {} keys{}{}, {} lone, {} with sessions; puts {}%, deletes {}%, "
        "read-modify-writes {}%; of "
        "the puts without context {}%, "
        "blind {}%, empty context {}%, stale {}%, own {}%; link loss {}, duplicates {} per "
        "million{}\n",
        workload.clients,
        workload.keys,
        workload.nasty_keys ? " (nasty)" : "",
        workload.nasty_values ? ", nasty values" : "",
        workload.lone_users,
        workload.session_users,
        workload.puts,
        workload.deletes,
        workload.read_modify_writes,
        workload.without_context,
        workload.blind,
        workload.empty_context,
        workload.stale_context,
        workload.own_context,
        workload.link_loss_per_million,
        workload.link_duplicates_per_million,
        workload.second_namespace_replicas == 0
            ? ""
            : fmt::format("; a second namespace with N={}", workload.second_namespace_replicas));
    if (workload.expiring > 0)
        out += fmt::format("  the values of {}% of the puts expire\n", workload.expiring);
    if (workload.sent_again > 0)
        out += fmt::format("  {}% of the puts are sent again later\n", workload.sent_again);
    if (workload.imported_keys > 0)
        out += fmt::format("  {} keys are imported at once\n", workload.imported_keys);
    if (workload.policy_namespaces) {
        out += fmt::format(
            "  namespaces of last_write_wins (another {}% blind) and of reject_stale with N={}; {} "
            "editors of {} documents, thinking for {:.1f} s\n",
            workload.blind_last,
            std::min(workload.policy_replicas, node.seat_count),
            workload.editors,
            workload.documents,
            in_seconds(workload.thought_mean));
    }
    return out;
}

}  // namespace starling::sim
