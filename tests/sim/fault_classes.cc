// The classes of faults that come and go, one type each.

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "tests/sim/faults.h"
#include "tests/sim/table_damage.h"

namespace starling::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

using MachineList = std::vector<Machine*>;

MachineList shuffled(Cluster& cluster, env::SimRandom& random) {
    MachineList machines;
    for (const auto& machine : cluster.machines())
        machines.push_back(machine.get());
    for (size_t i = machines.size(); i > 1; --i)
        std::swap(machines[i - 1], machines[random.below(i)]);
    return machines;
}

MachineList up_and_awake(Cluster& cluster) {
    MachineList machines;
    for (const auto& machine : cluster.machines()) {
        if (machine->is_up() && !machine->is_paused()) machines.push_back(machine.get());
    }
    return machines;
}

Machine* pick_up(Cluster& cluster, env::SimRandom& random) {
    const MachineList machines = up_and_awake(cluster);
    return machines.empty() ? nullptr : machines[random.below(machines.size())];
}

std::string names(std::span<Machine* const> machines) {
    std::string out;
    for (const Machine* machine : machines)
        out += (out.empty() ? "" : " ") + machine->name();
    return out;
}

env::CrashMode draw_mode(env::SimRandom& random) {
    return static_cast<env::CrashMode>(random.below(4));
}

// Whether one more may go down: most of the cluster stays, so that something can go on.
bool may_go_down(Cluster& cluster, const RunOptions& options) {
    const uint32_t down_max = options.nodes == 1 ? 1 : std::max(1u, (options.nodes - 1) / 2);
    const auto awake = static_cast<uint32_t>(up_and_awake(cluster).size());
    return awake > 0 && options.nodes - awake < down_max;
}

// Links that are cut while the fault is at work.
class CutFault : public Fault {
  public:
    explicit CutFault(Links& links) : links_(links) {}
    void end() override {
        for (const auto& [from, to] : cut_)
            links_.restore(from->address(), to->address());
        cut_.clear();
    }

  protected:
    void cut(Machine* from, Machine* to) {
        links_.cut(from->address(), to->address());
        cut_.emplace_back(from, to);
    }
    void cut_both(Machine* a, Machine* b) {
        cut(a, b);
        cut(b, a);
    }

  private:
    Links& links_;
    std::vector<std::pair<Machine*, Machine*>> cut_;
};

class Partition final : public CutFault {
  public:
    Partition(const FaultWorld& world, Links& links) : CutFault(links), world_(world) {}
    std::string_view name() const override { return "partition"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const size_t kind = random.below(3);
        const size_t side = kind == 0   ? all.size() / 2
                            : kind == 1 ? 1
                                        : 1 + random.below(all.size() - 1);
        for (size_t i = 0; i < side; ++i) {
            for (size_t j = side; j < all.size(); ++j)
                cut_both(all[i], all[j]);
        }
        return names(std::span(all).first(side)) + " | " + names(std::span(all).subspan(side));
    }

  private:
    const FaultWorld& world_;
};

class OneWayPartition final : public CutFault {
  public:
    OneWayPartition(const FaultWorld& world, Links& links) : CutFault(links), world_(world) {}
    std::string_view name() const override { return "one-way partition"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const size_t side = 1 + random.below(all.size() - 1);
        for (size_t i = 0; i < side; ++i) {
            for (size_t j = side; j < all.size(); ++j)
                cut(all[i], all[j]);
        }
        return names(std::span(all).first(side)) + " does not reach " +
               names(std::span(all).subspan(side));
    }

  private:
    const FaultWorld& world_;
};

class Bridge final : public CutFault {
  public:
    Bridge(const FaultWorld& world, Links& links) : CutFault(links), world_(world) {}
    std::string_view name() const override { return "bridge"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 3) return "";
        if (all.size() >= 5 && random.below(2) == 0) return ring(all);
        const size_t side = 1 + (all.size() - 1) / 2;
        for (size_t i = 1; i < side; ++i) {
            for (size_t j = side; j < all.size(); ++j)
                cut_both(all[i], all[j]);
        }
        return fmt::format("only {} reaches both {} and {}",
                           all[0]->name(),
                           names(std::span(all).subspan(1, side - 1)),
                           names(std::span(all).subspan(side)));
    }

  private:
    // Each node reaches its two neighbours only.
    std::string ring(const MachineList& all) {
        for (size_t i = 0; i < all.size(); ++i) {
            for (size_t j = i + 2; j < all.size(); ++j) {
                if (i != 0 || j + 1 != all.size()) cut_both(all[i], all[j]);
            }
        }
        return "a ring of neighbours " + names(all);
    }

    const FaultWorld& world_;
};

class Clog final : public Fault {
  public:
    Clog(const FaultWorld& world, Links& links) : world_(world), links_(links) {}
    std::string_view name() const override { return "clog"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const bool both_ways = random.below(2) == 0;
        const size_t others = 1 + random.below(all.size() - 1);
        for (size_t i = 1; i <= others; ++i) {
            add(all[0], all[i]);
            if (both_ways) add(all[i], all[0]);
        }
        return fmt::format("{} {} {}",
                           all[0]->name(),
                           both_ways ? "and" : "to",
                           names(std::span(all).subspan(1, others)));
    }
    void end() override {
        for (const auto& [from, to] : clogged_)
            links_.unclog(from->address(), to->address());
        clogged_.clear();
    }

  private:
    void add(Machine* from, Machine* to) {
        links_.clog(from->address(), to->address());
        clogged_.emplace_back(from, to);
    }

    const FaultWorld& world_;
    Links& links_;
    std::vector<std::pair<Machine*, Machine*>> clogged_;
};

// Stops the nodes of a random subset one by one and frees them in another order.
class Swizzle final : public Fault {
  public:
    Swizzle(const FaultWorld& world, Links& links) : world_(world), links_(links) {}
    ~Swizzle() override { world_.scheduler.drop_context(this); }
    std::string_view name() const override { return "swizzle"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        MachineList chosen = shuffled(world_.cluster, random);
        if (chosen.size() < 2) return "";
        chosen.resize(1 + random.below(chosen.size()));
        for (Machine* machine : chosen) {
            at(random.between(base::Duration::zero(), length / 2),
               [this, machine] { clog(machine); });
            at(random.between(length / 2, length), [this, machine] { free(machine); });
        }
        return names(chosen);
    }
    void end() override {
        world_.scheduler.drop_context(this);
        while (!clogged_.empty())
            free(clogged_.back());
    }

  private:
    template <typename Function>
    void at(base::Duration delay, Function function) {
        static const env::EventLabel label("sim.swizzle");
        world_.scheduler.schedule_after(delay,
                                        {.owner = env::no_owner,
                                         .context = this,
                                         .label = &label,
                                         .task = std::move(function)});
    }
    void clog(Machine* machine) {
        clogged_.push_back(machine);
        for_each_link(machine, [&](const auto& from, const auto& to) { links_.clog(from, to); });
    }
    void free(Machine* machine) {
        if (std::erase(clogged_, machine) == 0) return;
        for_each_link(machine, [&](const auto& from, const auto& to) { links_.unclog(from, to); });
    }
    template <typename Function>
    void for_each_link(Machine* machine, Function function) {
        for (const auto& other : world_.cluster.machines()) {
            if (other.get() == machine) continue;
            function(machine->address(), other->address());
            function(other->address(), machine->address());
        }
    }

    const FaultWorld& world_;
    Links& links_;
    MachineList clogged_;
};

class Reset final : public Fault {
  public:
    explicit Reset(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "reset"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const size_t others = 1 + random.below(all.size() - 1);
        for (size_t i = 1; i <= others; ++i)
            world_.network.reset(all[0]->address(), all[i]->address());
        return fmt::format("{} with {}", all[0]->name(), names(std::span(all).subspan(1, others)));
    }

  private:
    const FaultWorld& world_;
};

class ClockJump final : public Fault {
  public:
    explicit ClockJump(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "clock jump"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(world_.cluster, random);
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
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
    bool stays_ = false;
};

class ClockStrobe final : public Fault {
  public:
    explicit ClockStrobe(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "clock strobe"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(world_.cluster, random);
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

  private:
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
};

class Pause final : public Fault {
  public:
    explicit Pause(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "pause"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (hit_ == nullptr) return "";
        hit_->process().pause();
        return hit_->name();
    }
    void end() override { hit_->process().resume(); }

  private:
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
};

class Crash final : public Fault {
  public:
    explicit Crash(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "crash"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        Machine* const hit =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (hit == nullptr) return "";
        world_.cluster.crash(*hit, draw_mode(random), length);
        return hit->name();
    }

  private:
    const FaultWorld& world_;
};

class CrashAtIo final : public Fault {
  public:
    explicit CrashAtIo(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "crash at I/O"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        hit_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (hit_ == nullptr) return "";
        const uint64_t n = 1 + random.below(random.below(2) == 0 ? 10 : 300);
        world_.cluster.crash_at_io(*hit_, n, draw_mode(random), length);
        return fmt::format("{} at operation {} from now", hit_->name(), n);
    }
    void end() override { hit_->forget_death(); }

  private:
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
};

class CrashOfAll final : public Fault {
  public:
    explicit CrashOfAll(const FaultWorld& world) : world_(world) {}
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

  private:
    const FaultWorld& world_;
};

class SlowDisk final : public Fault {
  public:
    explicit SlowDisk(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "slow disk"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(world_.cluster, random);
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
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
    env::SimLife life_ = 0;
};

class FullDisk final : public Fault {
  public:
    explicit FullDisk(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "full disk"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ = pick_up(world_.cluster, random);
        if (hit_ == nullptr) return "";
        hit_->files().set_capacity(hit_->files().used_bytes() + random.below(16 << 10));
        return hit_->name();
    }
    void end() override { hit_->files().set_capacity(env::SimFileSystemOptions().capacity); }

  private:
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
};

// One sync fails; the node is restarted by its operator when the episode ends.
class FailingSync final : public Fault {
  public:
    explicit FailingSync(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "failing sync"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
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
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
    env::SimLife life_ = 0;
};

// Some operations of one kind fail; the node is restarted by its operator when the episode ends.
class FailingIo final : public Fault {
  public:
    explicit FailingIo(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "failing I/O"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
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
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
    env::SimLife life_ = 0;
};

// A bit of a table reads wrong for a while; then the operator restarts the node.
class DamagedTable final : public Fault {
  public:
    explicit DamagedTable(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "damaged table"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        hit_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (hit_ == nullptr) return "";
        const std::optional<FileDamage> damage =
            find_table_damage(hit_->files(), world_.options.shards, random);
        if (!damage) return "";
        hit_->damage(*damage);
        return fmt::format("{} at {} of {}", hit_->name(), damage->offset, damage->path);
    }
    void end() override {
        hit_->repair();
        if (hit_->is_up()) {
            world_.cluster.crash(*hit_, env::CrashMode::process, milliseconds(100));
        }
    }

  private:
    const FaultWorld& world_;
    Machine* hit_ = nullptr;
};

class Stop final : public Fault {
  public:
    explicit Stop(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "stop"; }
    std::string begin(env::SimRandom& random, base::Duration length) override {
        Machine* const hit =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (hit == nullptr) return "";
        world_.cluster.stop(*hit, length);
        return hit->name();
    }

  private:
    const FaultWorld& world_;
};

// Down for longer than requests are remembered, hints are kept moving and peers look for it.
class Absence final : public Fault {
  public:
    explicit Absence(const FaultWorld& world) : world_(world) {}
    std::string_view name() const override { return "absence"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        // One at a time, however short the episodes of this run are.
        if (absent_ != nullptr && !absent_->is_up()) return "";
        absent_ =
            may_go_down(world_.cluster, world_.options) ? pick_up(world_.cluster, random) : nullptr;
        if (absent_ == nullptr) return "";
        const env::CrashMode mode = draw_mode(random);
        world_.cluster.crash(*absent_, mode, random.between(seconds(30), seconds(240)));
        return absent_->name();
    }

  private:
    const FaultWorld& world_;
    Machine* absent_ = nullptr;
};

}  // namespace

std::vector<std::unique_ptr<Fault>> make_faults(const FaultWorld& world, Links& links) {
    const FaultOptions& on = world.options.faults;
    std::vector<std::unique_ptr<Fault>> faults;
    if (on.partitions) faults.push_back(std::make_unique<Partition>(world, links));
    if (on.one_way_partitions) faults.push_back(std::make_unique<OneWayPartition>(world, links));
    if (on.bridges) faults.push_back(std::make_unique<Bridge>(world, links));
    if (on.clogs) faults.push_back(std::make_unique<Clog>(world, links));
    if (on.swizzles) faults.push_back(std::make_unique<Swizzle>(world, links));
    if (on.resets) faults.push_back(std::make_unique<Reset>(world));
    if (on.clock_jumps) faults.push_back(std::make_unique<ClockJump>(world));
    if (on.clock_strobes) faults.push_back(std::make_unique<ClockStrobe>(world));
    if (on.pauses) faults.push_back(std::make_unique<Pause>(world));
    if (on.crashes) faults.push_back(std::make_unique<Crash>(world));
    if (on.crashes_at_io) faults.push_back(std::make_unique<CrashAtIo>(world));
    if (on.crashes_of_all) faults.push_back(std::make_unique<CrashOfAll>(world));
    if (on.slow_disks) faults.push_back(std::make_unique<SlowDisk>(world));
    if (on.full_disks) faults.push_back(std::make_unique<FullDisk>(world));
    if (on.failing_syncs) faults.push_back(std::make_unique<FailingSync>(world));
    if (on.failing_io) faults.push_back(std::make_unique<FailingIo>(world));
    if (on.damaged_tables) faults.push_back(std::make_unique<DamagedTable>(world));
    if (on.stops) faults.push_back(std::make_unique<Stop>(world));
    if (on.absences) faults.push_back(std::make_unique<Absence>(world));
    return faults;
}

}  // namespace starling::sim
