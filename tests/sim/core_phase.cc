#include "tests/sim/core_phase.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "node/server/inspect.h"

namespace starling::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const env::EventLabel use_label("client.core");

constexpr size_t keys_used = 12;
constexpr base::Duration placement_max = minutes(1);
// Of all that is asked of the core together: what a client's link loses is asked again.
constexpr base::Duration work_max = minutes(1);
// An operation that a node fails is asked for again so long: within 10 s all know of a dead node
// (NodeOptions::gossip_probe_interval).
constexpr base::Duration failing_max = seconds(10);
// What a node whose clock was set back far does of every request, for up to 40 s (docs/errors.md).
constexpr base::Duration too_old_max = seconds(40);

bool may_fail_for(const absl::Status& failed, base::Duration since) {
    const std::string reason = base::reason_of(failed);
    // No node has said so: a client's link loses what it likes.
    if (reason.empty()) return true;
    return since <= (reason == base::reason::request_too_old ? too_old_max : failing_max);
}

}  // namespace

CorePhase::CorePhase(World world)
    : world_(world),
      random_(world.faults.random.fork("core")),
      convergence_(world.faults.scheduler, world.faults.cluster, world.faults.options) {}

CorePhase::~CorePhase() {
    world_.faults.scheduler.drop_context(this);
}

void CorePhase::run() {
    const FaultWorld& faults = world_.faults;
    if (!wait_for_placement()) {
        outcome_ = "no core, not all nodes have their seats in time";
        return;
    }
    holders_ = find_holders();
    take_away();
    if (away_.empty()) {
        outcome_ = "no core, no node can be spared";
        return;
    }
    outcome_ = fmt::format("a core of {}, without {}", names(core_), names(away_));
    faults.trace.add("{}", outcome_);
    run_for(random_.between(base::Duration::zero(), seconds(30)));
    for (const auto& machine : faults.cluster.machines())
        machine->wall_clock().correct(faults.started);
    work();
    if (!world_.verdict.ok()) return;
    if (const std::string why_not = convergence_.wait_for_equality(core_, world_.name_spaces);
        world_.verdict.ok() && !why_not.empty()) {
        world_.verdict.report(
            "core",
            fmt::format("{} are not equal {:.0f} s after {} went: {}",
                        names(core_),
                        static_cast<double>(convergence_.elapsed().count()) * 1e-9,
                        names(away_),
                        why_not));
    }
}

bool CorePhase::wait_for_placement() {
    const Cluster& cluster = world_.faults.cluster;
    const SimTime patience = world_.faults.scheduler.now() + placement_max;
    while (world_.verdict.ok() && world_.faults.scheduler.now() < patience) {
        run_for(seconds(2));
        // A disk that is not whole is set right by others, maybe by all of them.
        const bool is_sound = std::ranges::none_of(cluster.machines(), [](const auto& machine) {
            return machine->is_up() && (machine->node().is_healing() || machine->is_set_back() ||
                                        (machine->is_damaged() && !machine->is_healed()));
        });
        if (is_sound && cluster.is_complete() && convergence_.check_rings().empty()) return true;
    }
    return false;
}

CorePhase::Holders CorePhase::find_holders() const {
    Holders holders;
    for (Machine* machine : world_.faults.cluster.members()) {
        node::ShardInspection inside;
        machine->node().inspect(inside);
        for (const node::HeldSeat& held : inside.held) {
            if (machine->node().is_refilling(held.partition)) continue;
            auto& of_partition = holders[held.partition];
            of_partition.resize(world_.faults.options.node.seat_count);
            of_partition[held.seat.raw()] = machine;
        }
    }
    return holders;
}

bool CorePhase::has_quorums(const MachineList& away) const {
    return holders_.size() == world_.faults.options.node.partition_count &&
           std::ranges::all_of(holders_, [&](const auto& entry) {
               return std::ranges::all_of(world_.name_spaces, [&](const auto& name_space) {
                   const uint32_t quorum =
                       std::max(name_space.read_quorum, name_space.write_quorum);
                   uint32_t seats = 0;
                   std::set<Machine*> nodes;
                   std::set<Machine*> all_nodes;
                   for (uint32_t seat = 0; seat < name_space.replicas; ++seat) {
                       Machine* const holder = entry.second[seat];
                       if (holder == nullptr) continue;
                       all_nodes.insert(holder);
                       if (std::ranges::find(away, holder) != away.end()) continue;
                       nodes.insert(holder);
                       ++seats;
                   }
                   return seats >= quorum &&
                          nodes.size() >= std::min<size_t>(quorum, all_nodes.size());
               });
           });
}

void CorePhase::take_away() {
    const FaultWorld& faults = world_.faults;
    for (Machine* machine : shuffled(faults.cluster, random_)) {
        if (!faults.cluster.is_member(*machine)) continue;
        away_.push_back(machine);
        if (has_quorums(away_)) continue;
        away_.pop_back();
        core_.push_back(machine);
    }
    const bool is_cut_off = random_.below(2) == 0;
    for (Machine* machine : away_) {
        if (!is_cut_off) {
            faults.cluster.crash(
                *machine, static_cast<env::CrashMode>(random_.below(4)), hours(24 * 365));
            continue;
        }
        for (const auto& other : faults.cluster.machines()) {
            if (other.get() == machine) continue;
            faults.network.cut(machine->address(), other->address());
            faults.network.cut(other->address(), machine->address());
        }
    }
}

// By more than a node that decides which write is the last may differ from the others.
bool CorePhase::may_clocks_differ() const {
    const RunOptions& options = world_.faults.options;
    const FaultOptions& on = options.faults;
    const SimTime drifted = world_.faults.scheduler.now() / 1'000'000 * on.drift_per_million_max;
    return on.clock_jumps || on.clock_strobes || 2 * drifted > options.node.clock_drift_max;
}

void CorePhase::work() {
    const bool has_wrong_clocks = may_clocks_differ();
    for (size_t i = 0; i < keys_used; ++i) {
        const KeyIndex key = Oracle::nth_key(random_.below(world_.oracle.key_count()));
        // Frames that come late may keep a node fenced for minutes.
        if (has_wrong_clocks &&
            world_.oracle.key(key).policy == node::ConflictPolicy::last_write_wins) {
            continue;
        }
        ++unused_;
        use(key, world_.faults.scheduler.now());
    }
    const env::SimScheduler& scheduler = world_.faults.scheduler;
    const SimTime patience = scheduler.now() + work_max;
    while (unused_ > 0 && scheduler.now() < patience && world_.verdict.ok())
        run_for(milliseconds(100));
    if (unused_ == 0 || !world_.verdict.ok()) return;
    world_.verdict.report("core",
                          fmt::format("{} have not answered all that they were asked, without {}",
                                      names(core_),
                                      names(away_)));
    world_.operations.close();
}

void CorePhase::use(KeyIndex key, SimTime since) {
    world_.operations.read(
        {.key = key, .tries_max = 1, .through = pick()}, [this, key, since](ReadOutcome read) {
            if (!read.status.ok()) return use_again(key, since, read.status);
            PutPlan put{.key = key,
                        .value = fmt::format("of the core {}", ++serial_),
                        .replaces = Replaces::seen,
                        .context = std::move(read.context),
                        .tries_max = 1,
                        .through = pick()};
            world_.operations.put(std::move(put), [this, key, since](const PutOutcome& outcome) {
                // Its record can forget no request while one of its owners is away.
                const bool is_full =
                    base::reason_of(outcome.status) == base::reason::written_too_often &&
                    has_owner_away(key);
                // Another write of this client to the key came first.
                if (base::reason_of(outcome.status) == base::reason::stale_context) {
                    return use_again(key, world_.faults.scheduler.now(), outcome.status);
                }
                if (!outcome.status.ok() && !is_full) return use_again(key, since, outcome.status);
                if (is_full) STARLING_MARK(core_key_written_too_often);
                --unused_;
            });
        });
}

bool CorePhase::has_owner_away(KeyIndex key) const {
    const Oracle::Key& used = world_.oracle.key(key);
    const std::vector<Machine*>& seats = holders_.at(used.partition);
    return std::any_of(seats.begin(), seats.begin() + used.replicas, [&](Machine* holder) {
        return std::ranges::find(away_, holder) != away_.end();
    });
}

void CorePhase::use_again(KeyIndex key, SimTime since, const absl::Status& failed) {
    const base::Duration lasted = world_.faults.scheduler.now() - since;
    if (!may_fail_for(failed, lasted)) {
        world_.verdict.report("core",
                              fmt::format("{}, without {}, fail for {:.1f} s already: {}",
                                          names(core_),
                                          names(away_),
                                          static_cast<double>(lasted.count()) * 1e-9,
                                          failed.ToString()));
        return;
    }
    world_.faults.scheduler.schedule_after(
        milliseconds(200),
        {.owner = env::no_owner, .context = this, .label = &use_label, .task = [this, key, since] {
             use(key, since);
         }});
}

void CorePhase::run_for(base::Duration span) {
    env::SimScheduler& scheduler = world_.faults.scheduler;
    const SimTime end = scheduler.now() + span;
    while (scheduler.now() < end && world_.verdict.ok())
        scheduler.run_until(std::min(end, scheduler.now() + milliseconds(100)));
}

}  // namespace starling::sim
