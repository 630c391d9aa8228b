// Faults of single machines: their clocks, processes and disks.

#include <array>

#include <fmt/format.h>

#include "tests/sim/fault_support.h"
#include "tests/sim/table_damage.h"

namespace starling::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

MachineList up_and_awake(Cluster& cluster) {
    MachineList machines;
    for (const auto& machine : cluster.machines()) {
        if (machine->is_up() && !machine->is_paused()) machines.push_back(machine.get());
    }
    return machines;
}

env::CrashMode draw_mode(env::SimRandom& random) {
    return static_cast<env::CrashMode>(random.below(4));
}

class MachineFault : public WorldFault {
  public:
    using WorldFault::WorldFault;

  protected:
    // Null: there is none.
    Machine* pick_up(env::SimRandom& random) const {
        const MachineList machines = up_and_awake(world_.cluster);
        return machines.empty() ? nullptr : machines[random.below(machines.size())];
    }
    // Null too where one more may not go down: most of the cluster stays, so that something can go
    // on.
    Machine* pick_to_take_down(env::SimRandom& random) const {
        const uint32_t nodes = world_.options.nodes;
        const uint32_t down_max = nodes == 1 ? 1 : std::max(1u, (nodes - 1) / 2);
        const auto awake = static_cast<uint32_t>(up_and_awake(world_.cluster).size());
        return awake > 0 && nodes - awake < down_max ? pick_up(random) : nullptr;
    }

    Machine* hit_ = nullptr;
};

class ClockJump final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "clock jump"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(random);
        if (hit_ == nullptr) return "";
        const uint64_t kind = random.below(10);
        constexpr auto ten_years = hours(24 * 3653);
        const base::Duration most = kind < 5   ? base::Duration(seconds(30))
                                    : kind < 9 ? base::Duration(hours(3))
                                               : base::Duration(ten_years);
        base::Duration by = random.between(seconds(1), most);
        if (random.below(2) == 0) by = -by;
        hit_->wall_clock().jump(by);
        stays_ = random.below(3) == 0;
        return fmt::format("{} by {:.3f} s{}",
                           hit_->name(),
                           static_cast<double>(by.count()) * 1e-9,
                           stays_ ? ", to stay" : "");
    }
    void end() override {
        if (!stays_) hit_->wall_clock().correct(world_.started);
    }

  private:
    bool stays_ = false;
};

class ClockStrobe final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "clock strobe"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(random);
        if (hit_ == nullptr) return "";
        // In statements of their own: the order of arguments is the compiler's.
        const base::Duration amplitude = random.between(milliseconds(10), seconds(20));
        const base::Duration period = random.between(milliseconds(1), milliseconds(500));
        hit_->wall_clock().set_strobe(amplitude, period);
        return hit_->name();
    }
    void end() override {
        hit_->wall_clock().set_strobe(base::Duration::zero(), base::Duration::zero());
    }
};

class Pause : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "pause"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_to_take_down(random);
        if (hit_ == nullptr) return "";
        hit_->pause();
        return hit_->name();
    }
    void end() override { hit_->resume(); }
};

// Longer than requests are remembered and the others hold it for alive. Nothing of its own state
// says that it was away.
class LongPause final : public Pause {
  public:
    using Pause::Pause;
    std::string_view name() const override { return "long pause"; }
    base::Duration draw_length(env::SimRandom& random, base::Duration) const override {
        const base::Duration most = world_.options.long_pause_max();
        return random.between(most / 10, most);
    }
};

class Crash final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "crash"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        Machine* const hit = pick_to_take_down(random);
        if (hit == nullptr) return "";
        world_.cluster.crash(*hit, draw_mode(random), length);
        return hit->name();
    }
};

class CrashAtIo final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "crash at I/O"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        hit_ = pick_to_take_down(random);
        if (hit_ == nullptr) return "";
        const uint64_t n = 1 + random.below(random.below(2) == 0 ? 10 : 300);
        world_.cluster.crash_at_io(*hit_, n, draw_mode(random), length);
        return fmt::format("{} at operation {} from now", hit_->name(), n);
    }
    void end() override { hit_->forget_death(); }
};

class CrashOfAll final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "crash of all"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        const MachineList all = up_and_awake(world_.cluster);
        // A power cut takes them in one mode; the disks of each kept what they kept.
        const env::CrashMode mode = draw_mode(random);
        for (Machine* machine : all) {
            world_.cluster.crash(
                *machine,
                mode,
                random.between(milliseconds(10), std::min<base::Duration>(length, seconds(5))));
        }
        return names(all);
    }
};

class SlowDisk final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "slow disk"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(random);
        if (hit_ == nullptr) return "";
        life_ = hit_->process().life();
        const auto factor =
            static_cast<uint32_t>(5 + random.below(random.below(2) == 0 ? 50 : 3000));
        hit_->workers().set_slowness(factor);
        return fmt::format("{} by {}", hit_->name(), factor);
    }
    void end() override {
        if (hit_->is_up() && hit_->process().life() == life_) hit_->workers().set_slowness(1);
    }

  private:
    env::SimLife life_ = 0;
};

class SlowSyncs final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "slow syncs"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(random);
        if (hit_ == nullptr) return "";
        const base::Duration mean = random.below(2) == 0
                                        ? random.between(milliseconds(1), milliseconds(100))
                                        : random.between(milliseconds(100), seconds(3));
        hit_->set_sync_time(mean);
        return fmt::format(
            "{}, {:.3f} s each", hit_->name(), static_cast<double>(mean.count()) * 1e-9);
    }
    void end() override { hit_->set_sync_time(base::Duration::zero()); }
};

class FullDisk final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "full disk"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(random);
        if (hit_ == nullptr) return "";
        hit_->files().set_capacity(hit_->files().used_bytes() + random.below(16 << 10));
        return hit_->name();
    }
    void end() override { hit_->files().set_capacity(env::SimFileSystemOptions().capacity); }
};

// One sync fails; the node is restarted by its operator when the episode ends.
class FailingSync final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "failing sync"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_to_take_down(random);
        if (hit_ == nullptr) return "";
        life_ = hit_->process().life();
        hit_->files().faults().fail_next(env::FileOperation::sync, 1 + random.below(2));
        return hit_->name();
    }
    void end() override {
        if (hit_->is_up() && hit_->process().life() == life_) {
            world_.cluster.crash(*hit_, env::CrashMode::process, milliseconds(100));
        }
    }

  private:
    env::SimLife life_ = 0;
};

// Some operations of one kind fail; the node is restarted by its operator when the episode ends.
class FailingIo final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "failing I/O"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_to_take_down(random);
        if (hit_ == nullptr) return "";
        life_ = hit_->process().life();
        constexpr std::array kinds = {env::FileOperation::open,
                                      env::FileOperation::read,
                                      env::FileOperation::write,
                                      env::FileOperation::rename,
                                      env::FileOperation::remove,
                                      env::FileOperation::truncate,
                                      env::FileOperation::sync_directory,
                                      env::FileOperation::inspect};
        const env::FileOperation kind = kinds[random.below(kinds.size())];
        const uint64_t times = 1 + random.below(4);
        hit_->files().faults().fail_next(kind, times);
        return fmt::format("{} times {} of {}", times, env::name_of(kind), hit_->name());
    }
    void end() override {
        if (hit_->is_up() && hit_->process().life() == life_) {
            world_.cluster.crash(*hit_, env::CrashMode::process, milliseconds(100));
        }
    }

  private:
    env::SimLife life_ = 0;
};

// A place of a table reads wrong for a while; then the operator restarts the node, before that
// would give anything up for it.
class DamagedTable final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "damaged table"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        hit_ = length < world_.options.node.deadline_max ? pick_to_take_down(random) : nullptr;
        if (hit_ == nullptr || hit_->is_damaged()) return "";
        const std::optional<FileDamage> damage =
            find_table_damage(hit_->files(), world_.options.shards, random);
        if (!damage) return "";
        damage_ = *damage;
        hit_->damage(*damage);
        return fmt::format("{}: {}", hit_->name(), to_string(*damage));
    }
    void end() override {
        hit_->repair(damage_);
        if (hit_->is_up()) {
            world_.cluster.crash(*hit_, env::CrashMode::process, milliseconds(100));
        }
    }

  private:
    FileDamage damage_;
};

// A place of a table is wrong from now on, or the file is gone after a power cut. One disk at a
// time, and the next one only when all nodes have everything again: what is acknowledged may lie on
// two.
class RottenTable final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "rotten table"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        for (const auto& machine : world_.cluster.machines()) {
            if (!machine->is_up() || machine->is_set_back() ||
                (machine->is_damaged() && !machine->is_healed()) || machine->node().is_healing()) {
                return "";
            }
        }
        hit_ = pick_up(random);
        if (hit_ == nullptr || has_two_seats(*hit_, world_.options)) return "";
        const auto find = random.below(3) == 0 ? find_table_loss : find_table_damage;
        const std::optional<FileDamage> damage = find(hit_->files(), world_.options.shards, random);
        if (!damage) return "";
        if (damage->takes_file())
            world_.cluster.crash(*hit_, env::CrashMode::lost, milliseconds(100));
        hit_->rot(*damage);
        return fmt::format("{}: {}", hit_->name(), to_string(*damage));
    }
};

class Stop final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "stop"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        Machine* const hit = pick_to_take_down(random);
        if (hit == nullptr) return "";
        world_.cluster.stop(*hit, length);
        return hit->name();
    }
};

// Down for longer than requests are remembered, hints are kept moving and peers look for it.
class Absence final : public MachineFault {
  public:
    using MachineFault::MachineFault;
    std::string_view name() const override { return "absence"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        // One at a time, however short the episodes of this run are.
        if (hit_ != nullptr && !hit_->is_up()) return "";
        hit_ = pick_to_take_down(random);
        if (hit_ == nullptr) return "";
        const env::CrashMode mode = draw_mode(random);
        world_.cluster.crash(*hit_, mode, random.between(seconds(30), seconds(240)));
        return hit_->name();
    }
};

}  // namespace

void add_machine_faults(const FaultWorld& world, FaultList& faults) {
    const FaultOptions& on = world.options.faults;
    if (on.clock_jumps) faults.push_back(std::make_unique<ClockJump>(world));
    if (on.clock_strobes) faults.push_back(std::make_unique<ClockStrobe>(world));
    if (on.pauses) faults.push_back(std::make_unique<Pause>(world));
    if (on.long_pauses) faults.push_back(std::make_unique<LongPause>(world));
    if (on.crashes) faults.push_back(std::make_unique<Crash>(world));
    if (on.crashes_at_io) faults.push_back(std::make_unique<CrashAtIo>(world));
    if (on.crashes_of_all) faults.push_back(std::make_unique<CrashOfAll>(world));
    if (on.slow_disks) faults.push_back(std::make_unique<SlowDisk>(world));
    if (on.slow_syncs) faults.push_back(std::make_unique<SlowSyncs>(world));
    if (on.full_disks) faults.push_back(std::make_unique<FullDisk>(world));
    if (on.failing_syncs) faults.push_back(std::make_unique<FailingSync>(world));
    if (on.failing_io) faults.push_back(std::make_unique<FailingIo>(world));
    if (on.damaged_tables) faults.push_back(std::make_unique<DamagedTable>(world));
    if (on.rotten_tables) faults.push_back(std::make_unique<RottenTable>(world));
    if (on.stops) faults.push_back(std::make_unique<Stop>(world));
    if (on.absences) faults.push_back(std::make_unique<Absence>(world));
}

}  // namespace starling::sim
