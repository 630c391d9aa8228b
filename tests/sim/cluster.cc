#include "tests/sim/cluster.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tests/sim/log_damage.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel start_label("sim.start");
const env::EventLabel stop_label("sim.stop");
const env::EventLabel join_label("sim.join");

}  // namespace

Cluster::Cluster(Machine::World world, Verdict& verdict)
    : world_(world),
      verdict_(verdict),
      random_(world.random.fork("cluster")),
      states_(world.options.nodes) {
    for (uint32_t number = 1; number <= world.options.nodes; ++number) {
        machines_.push_back(std::make_unique<Machine>(
            world,
            number,
            Machine::Listener{
                .died = [this](Machine& machine) { died(machine); },
                // As starlingd does.
                .wants_new_life =
                    [this](Machine& machine) { stop(machine, std::chrono::seconds(1)); },
                .canary_accuses =
                    [this](Machine& machine, std::string_view what) {
                        verdict_.report("canary", fmt::format("{}: {}", machine.name(), what));
                    },
            }));
    }
}

Cluster::~Cluster() = default;

void Cluster::bring_up(uint32_t number) {
    Machine& up = machine(number);
    if (std::exchange(state(up).wanted, true)) return;
    start(up);
}

void Cluster::crash(Machine& machine, env::CrashMode mode, base::Duration down_for) {
    world_.trace.add("{} crashes ({}) for {:.3f} s",
                     machine.name(),
                     name_of(mode),
                     static_cast<double>(down_for.count()) * 1e-9);
    machine.crash(mode);
    state(machine).down_for = down_for;
    ++counts_.crashes_by_mode[static_cast<size_t>(mode)];
    died(machine);
}

void Cluster::stop(Machine& machine, base::Duration down_for) {
    world_.trace.add("{} is told to stop", machine.name());
    const env::SimLife life = machine.lives();
    State& of_machine = state(machine);
    of_machine.stops_for = std::max(of_machine.stops_for, down_for);
    machine.post([this, &machine, life] {
        if (!machine.begin_stop()) return;
        machine.node().stop([this, &machine, life](const absl::Status& stopped) {
            world_.trace.add("{} has stopped: {}", machine.name(), stopped.ToString());
            counts_.stops_failed += stopped.ok() ? 0u : 1u;
            // The process ends when this event has.
            world_.scheduler.schedule_after(base::Duration::zero(),
                                            {.owner = env::no_owner,
                                             .context = this,
                                             .label = &stop_label,
                                             .task = [this, &machine, life] {
                                                 if (!machine.is_up() || machine.lives() != life)
                                                     return;
                                                 exit(machine, state(machine).stops_for);
                                             }});
        });
    });
}

void Cluster::exit(Machine& machine, base::Duration down_for) {
    state(machine).down_for = down_for;
    const std::optional<uint64_t> left_open = machine.exit();
    if (!left_open) return;
    ++counts_.stops;
    ++counts_.crashes_by_mode[static_cast<size_t>(env::CrashMode::process)];
    if (*left_open > 0) {
        verdict_.report(
            "I27",
            fmt::format("{} has stopped and left {} files open", machine.name(), *left_open));
    }
    died(machine);
}

void Cluster::wipe(Machine& machine, base::Duration down_for) {
    crash(machine, env::CrashMode::lost, down_for);
    machine.files().swap_for(env::SimFileSystem());
    state(machine).was_member = false;
    world_.trace.add("{} has lost all that was on its disk", machine.name());
}

void Cluster::bring_all_back() {
    for (const auto& machine : machines_) {
        if (state(*machine).wanted && !machine->is_up())
            start_later(*machine, base::Duration::zero());
    }
}

void Cluster::crash_at_io(Machine& machine,
                          uint64_t n,
                          env::CrashMode mode,
                          base::Duration down_for) {
    state(machine).down_for = down_for;
    ++counts_.crashes_by_mode[static_cast<size_t>(mode)];
    machine.die_at_io(n, mode);
}

void Cluster::died(Machine& machine) {
    ++counts_.crashes;
    state(machine).stops_for = base::Duration::zero();
    if (death_listener_) death_listener_(machine);
    start_later(machine, state(machine).down_for);
}

void Cluster::start_later(Machine& machine, base::Duration delay) {
    const uint64_t attempt = ++state(machine).start_attempt;
    world_.scheduler.schedule_after(
        delay,
        {.owner = env::no_owner,
         .context = this,
         .label = &start_label,
         .task = [this, &machine, attempt] {
             if (!machine.is_up() && state(machine).start_attempt == attempt) start(machine);
         }});
}

std::optional<absl::Status> Cluster::start_on_damaged_log(Machine& machine) {
    const auto shard = random_.below(world_.options.shards);
    const std::optional<FileDamage> damage = find_log_damage(
        machine.files(), fmt::format("{}/shard-{}", Machine::data_directory, shard), random_);
    if (!damage) return std::nullopt;
    ++counts_.starts_on_damaged_logs;
    inflict(*damage, machine.files());
    absl::Status started = machine.start();
    undo(*damage, machine.files());
    world_.trace.add(
        "{} starts while {}: {}", machine.name(), to_string(*damage), started.ToString());
    return started;
}

absl::Status Cluster::start_with_wrong_configuration(Machine& machine) {
    ++counts_.starts_with_wrong_configuration;
    node::NodeOptions wrong = world_.options.node;
    switch (random_.below(3)) {
        case 0:
            wrong.partition_count = wrong.partition_count == 1 ? 2 : wrong.partition_count / 2;
            break;
        case 1:
            wrong.seat_count = wrong.seat_count == 1 ? 2 : wrong.seat_count - 1;
            break;
        default:
            wrong.cluster_name += " no more";
    }
    absl::Status started = machine.start(wrong);
    world_.trace.add("{} starts as of cluster '{}' of {} partitions and {} seats: {}",
                     machine.name(),
                     wrong.cluster_name,
                     wrong.partition_count,
                     wrong.seat_count,
                     started.ToString());
    return started;
}

bool Cluster::try_wrong_starts(Machine& machine) {
    if (damaged_logs_per_million_ > 0 && random_.chance(damaged_logs_per_million_)) {
        const std::optional<absl::Status> started = start_on_damaged_log(machine);
        if (started && started->ok()) {
            verdict_.report(
                "I20",
                fmt::format("{} starts from a log that is damaged before its end", machine.name()));
            return false;
        }
    }
    // A first start that was cut off may have left nothing to be at odds with.
    if (state(machine).was_member && wrong_configurations_per_million_ > 0 &&
        random_.chance(wrong_configurations_per_million_)) {
        if (start_with_wrong_configuration(machine).ok() && machine.is_up()) {
            verdict_.report(
                "P7",
                fmt::format("{} starts with the configuration of another cluster", machine.name()));
            return false;
        }
    }
    return true;
}

void Cluster::start(Machine& machine) {
    if (!try_wrong_starts(machine)) return;
    ++counts_.starts;
    if (random_.chance(recovery_crashes_per_million_)) {
        // Of an engine's recovery, or of the whole of a start.
        const uint64_t operations = random_.below(2) == 0 ? 60 : 300;
        const auto mode = static_cast<env::CrashMode>(random_.below(4));
        machine.die_at_io(1 + random_.below(operations), mode);
        state(machine).down_for = random_.between(milliseconds(1), seconds(1));
        ++counts_.crashes_in_recovery;
    }
    world_.trace.add("{} starts, life {}", machine.name(), machine.lives() + 1);
    const absl::Status started = machine.start();
    if (!started.ok()) {
        ++counts_.starts_refused;
        world_.trace.add("{} does not start: {}", machine.name(), started.ToString());
        // A full disk may refuse a start, and one with damage must; it is tried again.
        const bool is_expected = absl::IsResourceExhausted(started) ||
                                 (machine.is_damaged() && absl::IsDataLoss(started));
        if (!is_expected) {
            verdict_.report(
                "I9", fmt::format("{} does not start: {}", machine.name(), started.ToString()));
        }
        if (machine.has_rotted() && absl::IsDataLoss(started)) {
            // What a node cannot start without is its operator's to bring back.
            ++counts_.rotten_disks_repaired;
            machine.repair();
        }
        start_later(machine, seconds(1));
        return;
    }
    if (!machine.is_up()) return;
    if (cluster_.is_none()) cluster_ = machine.node().cluster();
    if (is_member(machine)) {
        state(machine).was_member = true;
        return;
    }
    if (state(machine).was_member) {
        verdict_.report("I21",
                        fmt::format("{} has forgotten its cluster over a restart", machine.name()));
    }
    ask_to_join(machine);
}

bool Cluster::is_member(Machine& machine) const {
    return machine.is_up() && machine.node().cluster() == cluster_;
}

std::vector<Machine*> Cluster::members() const {
    std::vector<Machine*> result;
    for (const auto& machine : machines_) {
        if (is_member(*machine)) result.push_back(machine.get());
    }
    return result;
}

std::vector<const node::Frontier*> Cluster::owned_frontiers(node::GroupId group) const {
    std::vector<const node::Frontier*> frontiers;
    for (Machine* const machine : members()) {
        // It has not what it had seen, and may not have noticed yet.
        if (machine->is_set_back()) continue;
        if (const node::Frontier* frontier = machine->node().owned_frontier(group)) {
            frontiers.push_back(frontier);
        }
    }
    return frontiers;
}

uint64_t Cluster::latest_clock_ms() const {
    base::WallTime latest{};
    for (const auto& machine : machines_)
        latest = std::max(latest, machine->wall_clock().highest());
    return base::to_unix_ms(latest);
}

bool Cluster::has_lost_data() const {
    return std::ranges::any_of(machines_,
                               [](const auto& machine) { return machine->has_lost_data(); });
}

bool Cluster::is_seen_by_all_owners(node::GroupId group, const node::Dot& dot) const {
    return std::ranges::all_of(owned_frontiers(group), [&](const node::Frontier* frontier) {
        return frontier->contains(dot);
    });
}

uint32_t Cluster::up_count() const {
    return static_cast<uint32_t>(
        std::ranges::count_if(machines_, [](const auto& machine) { return machine->is_up(); }));
}

bool Cluster::is_complete() const {
    return std::ranges::all_of(machines_, [&](const auto& machine) {
        const State& of_machine = states_[machine->number() - 1];
        return !of_machine.wanted ||
               (of_machine.was_member && machine->is_up() && machine->node().is_ready());
    });
}

Machine* Cluster::pick_member(const Machine& other_than) {
    std::vector<Machine*> candidates;
    for (const auto& machine : machines_) {
        if (machine.get() != &other_than && is_known(*machine)) candidates.push_back(machine.get());
    }
    return candidates.empty() ? nullptr : candidates[random_.below(candidates.size())];
}

void Cluster::ask_to_join(Machine& machine) {
    Machine* const through = pick_member(machine);
    const uint64_t attempt = ++state(machine).join_attempt;
    if (through != nullptr) {
        world_.trace.add("{} asks to join through {}", machine.name(), through->name());
        machine.post([this, &machine, attempt, address = through->address()] {
            machine.node().join(address, [this, &machine, attempt](auto joined) {
                if (attempt != state(machine).join_attempt) return;
                world_.trace.add("{} join: {}", machine.name(), joined.status().ToString());
                if (joined.ok()) {
                    ++counts_.joins;
                    state(machine).was_member = true;
                } else {
                    ++counts_.joins_refused;
                }
            });
        });
    }
    join_later(machine);
}

void Cluster::join_later(Machine& machine) {
    const uint64_t attempt = state(machine).join_attempt;
    world_.scheduler.schedule_after(seconds(3),
                                    {.owner = env::no_owner,
                                     .context = this,
                                     .label = &join_label,
                                     .task = [this, &machine, attempt] {
                                         State& of_machine = state(machine);
                                         if (attempt != of_machine.join_attempt || !machine.is_up())
                                             return;
                                         if (is_member(machine)) {
                                             of_machine.was_member = true;
                                             return;
                                         }
                                         ask_to_join(machine);
                                     }});
}

}  // namespace starling::sim
