#include "tests/sim/machine.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "tests/sim/table_damage.h"

namespace starling::sim {

using std::chrono::seconds;

namespace {

const env::EventLabel burial_label("sim.burial");

env::SimProcess::Faults draw_process_faults(const FaultOptions& faults, env::SimRandom random) {
    env::SimProcess::Faults drawn;
    const auto drift = static_cast<uint64_t>(faults.drift_per_million_max);
    drawn.drift_per_million =
        static_cast<int32_t>(random.below(2 * drift + 1)) - faults.drift_per_million_max;
    drawn.late_timers_per_million = faults.late_timers_per_million;
    drawn.timer_lateness_max = faults.timer_lateness_max;
    return drawn;
}

std::string draw_zone(const RunOptions& options, env::SimRandom random) {
    return options.zones == 0 ? "" : fmt::format("zone-{}", random.below(options.zones));
}

}  // namespace

std::string_view name_of(env::CrashMode mode) {
    switch (mode) {
        case env::CrashMode::process:
            return "process only";
        case env::CrashMode::lost:
            return "unsynced data lost";
        case env::CrashMode::kept:
            return "unsynced data kept";
        case env::CrashMode::torn:
            return "unsynced data torn";
    }
    return "unknown";
}

Machine::Machine(World world, uint32_t number, Listener listener)
    : world_(world),
      number_(number),
      listener_(std::move(listener)),
      address_(fmt::format("10.0.0.{}:4001", number)),
      zone_(draw_zone(world.options, world.random.fork("zone", number))),
      random_(world.random.fork("machine", number)),
      process_(world.scheduler,
               fmt::format("n{}", number),
               random_.fork("process"),
               draw_process_faults(world.options.faults, random_.fork("faults"))),
      wall_clock_(world.scheduler, world.started),
      files_(),
      sync_random_(random_.fork("syncs")) {
    wall_clock_.set_drift(process_.faults().drift_per_million);
    files_.faults().set_hook([this](env::FileOperation operation, const std::string& path) {
        return watch_io(operation, path);
    });
    // The first life begins with start().
    process_.crash();
}

Machine::~Machine() {
    life_.reset();
}

absl::Status Machine::start(const node::NodeOptions& options) {
    STARLING_CHECK(life_ == nullptr);
    process_.restart();
    make_life(options);
    absl::Status started = absl::OkStatus();
    // None of the loops runs yet: a start may touch what belongs to any of them.
    is_starting_ = true;
    world_.scheduler.run_as(process_.owner(), nullptr, [&] { started = life_->node->start(); });
    is_starting_ = false;
    if (!process_.is_alive()) {
        bury();
        return absl::OkStatus();
    }
    if (!started.ok()) {
        process_.crash();
        death_mode_ = env::CrashMode::process;
        bury();
    }
    return started;
}

void Machine::crash(env::CrashMode mode) {
    STARLING_CHECK(is_up());
    process_.crash();
    death_mode_ = mode;
    bury();
}

std::optional<uint64_t> Machine::exit() {
    STARLING_CHECK(is_up());
    world_.scheduler.run_as(env::no_owner, nullptr, [this] { life_->node.reset(); });
    if (!is_up()) return std::nullopt;
    const uint64_t left_open = files_.open_handles();
    crash(env::CrashMode::process);
    return left_open;
}

void Machine::die_at_io(uint64_t n, env::CrashMode mode) {
    io_until_death_ = n;
    death_mode_ = mode;
}

void Machine::keep_time() {
    env::SimProcess::Faults faults = process_.faults();
    faults.late_timers_per_million = 0;
    process_.set_faults(faults);
}

void Machine::damage(FileDamage damage) {
    STARLING_CHECK(!damage_);
    STARLING_CHECK(!damage.takes_file() || !is_up());
    inflict(damage, files_);
    damage_ = std::move(damage);
}

void Machine::rot(FileDamage damage) {
    if (is_healed()) damage_.reset();
    this->damage(std::move(damage));
    has_rotted_ = true;
    lost_data_at_ = world_.scheduler.now();
}

void Machine::set_back(const env::SimFileSystem& copy) {
    files_.swap_for(copy);
    // What has rotted since was sound in the copy, and what was healed by then is not in it.
    damage_.reset();
    is_set_back_ = true;
    was_set_back_ = true;
    lost_data_at_ = world_.scheduler.now();
}

void Machine::resume() {
    process_.resume();
    resumed_at_ = world_.scheduler.now();
}

bool Machine::is_healed() const {
    return damage_ && !is_table_named(files_, damage_->path);
}

void Machine::repair() {
    STARLING_CHECK(!damage_ || !damage_->takes_file() || !is_up());
    repair(files_);
    damage_.reset();
}

void Machine::repair(env::SimFileSystem& disk) const {
    if (!damage_ || (damage_->takes_file() && !is_table_named(disk, damage_->path))) return;
    undo(*damage_, disk);
}

void Machine::make_life(const node::NodeOptions& options) {
    life_ = std::make_unique<Life>(Life{.loops = {},
                                        .workers = nullptr,
                                        .transport = nullptr,
                                        .tap = nullptr,
                                        .random = process_.fork_random("node"),
                                        .node = nullptr});
    node::NodeEnvironment environment;
    for (uint32_t shard = 0; shard < world_.options.shards; ++shard) {
        life_->loops.push_back(std::make_unique<env::SimLoop>(process_));
        environment.loops.push_back(life_->loops.back().get());
    }
    life_->workers = std::make_unique<env::SimWorkers>(
        process_, env::SimWorkers::Options{.delay_mean = world_.options.worker_delay_mean});
    life_->transport = std::make_unique<env::SimTransport>(
        world_.network,
        *life_->loops.front(),
        address_,
        env::SimTransport::Options{.secret = world_.options.node.cluster_secret});
    environment.workers = life_->workers.get();
    life_->tap = std::make_unique<FrameTap>(*life_->transport, world_.trace, name());
    environment.transport = life_->tap.get();
    environment.wall_clock = &wall_clock_;
    environment.random = &life_->random;
    environment.files = &files_;
    environment.log = [this](std::string_view severity, std::string_view line) {
        world_.trace.add("{} {}: {}", name(), severity, line);
        if (severity == "error" && line.starts_with("canary: "))
            listener_.canary_accuses(*this, line);
    };
    environment.want_new_life = [this] { listener_.wants_new_life(*this); };
    node::NodeOptions own = options;
    own.client_address = fmt::format("10.0.0.{}:3001", number_);
    own.zone = zone_;
    own.data_directory = data_directory;
    own.canary = own.canary && !canary_is_off_;
    life_->has_canary = own.canary;
    life_->node = std::make_unique<node::Node>(own, std::move(environment));
}

absl::Status Machine::watch_io(env::FileOperation operation, const std::string& path) {
    const bool is_sync =
        operation == env::FileOperation::sync || operation == env::FileOperation::sync_directory;
    // A start is no event: nothing that it posts is to come late.
    if (is_sync && !is_starting_ && sync_time_mean_ > base::Duration::zero()) {
        process_.take_time(
            std::min<base::Duration>(sync_random_.exponential(sync_time_mean_), seconds(10)));
    }
    if (io_until_death_ == 0 || --io_until_death_ > 0) return absl::OkStatus();
    // From here on the node's code runs to the end of its event in a dead process on a dead disk.
    files_.faults().crash_at(1);
    process_.crash();
    world_.trace.add("{} dies before an operation on {} ({})", name(), path, name_of(death_mode_));
    world_.scheduler.schedule_after(
        env::SimTime::zero(),
        {.owner = env::no_owner, .context = this, .label = &burial_label, .task = [this] {
             // A start that failed midway has buried itself.
             if (life_ != nullptr && !process_.is_alive()) bury();
             listener_.died(*this);
         }});
    return env::simulated_crash(path);
}

void Machine::bury() {
    io_until_death_ = 0;
    // First the disk: what destructors still write must not reach it.
    files_.crash(death_mode_, random_);
    // On behalf of no loop, as a process's end: destructors of several loops' objects run here.
    world_.scheduler.run_as(env::no_owner, nullptr, [this] { life_.reset(); });
}

}  // namespace starling::sim
