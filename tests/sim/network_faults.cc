// Faults between machines.

#include <fmt/format.h>

#include "tests/sim/fault_support.h"

namespace starling::sim {

namespace {

class LinkFault : public WorldFault {
  public:
    LinkFault(const FaultWorld& world, Links& links) : WorldFault(world), links_(links) {}

  protected:
    Links& links_;
};

// Links that are cut while the fault is at work.
class CutFault : public LinkFault {
  public:
    using LinkFault::LinkFault;
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
    std::vector<std::pair<Machine*, Machine*>> cut_;
};

class Partition final : public CutFault {
  public:
    using CutFault::CutFault;
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
};

class OneWayPartition final : public CutFault {
  public:
    using CutFault::CutFault;
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
};

class Bridge final : public CutFault {
  public:
    using CutFault::CutFault;
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
};

class Clog final : public LinkFault {
  public:
    using LinkFault::LinkFault;
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

    std::vector<std::pair<Machine*, Machine*>> clogged_;
};

// Stops the nodes of a random subset one by one and frees them in another order.
class Swizzle final : public LinkFault {
  public:
    using LinkFault::LinkFault;
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

    MachineList clogged_;
};

class Reset final : public LinkFault {
  public:
    using LinkFault::LinkFault;
    std::string_view name() const override { return "reset"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const size_t others = 1 + random.below(all.size() - 1);
        for (size_t i = 1; i <= others; ++i) {
            world_.network.reset(all[0]->address(), all[i]->address());
            links_.disturb(all[0]->address(), all[i]->address(), base::Duration::zero());
        }
        return fmt::format("{} with {}", all[0]->name(), names(std::span(all).subspan(1, others)));
    }
};

// Where nobody notices: what is sent on a connection that is there gets lost, and new ones work.
class HalfOpen final : public LinkFault {
  public:
    using LinkFault::LinkFault;
    std::string_view name() const override { return "half-open"; }
    std::string begin(env::SimRandom& random, base::Duration) override {
        const MachineList all = shuffled(world_.cluster, random);
        if (all.size() < 2) return "";
        const size_t others = 1 + random.below(all.size() - 1);
        const bool both_ways = random.below(2) == 0;
        for (size_t i = 1; i <= others; ++i) {
            world_.network.lose_connections(all[0]->address(), all[i]->address(), both_ways);
            links_.disturb(
                all[0]->address(), all[i]->address(), env::SimNetwork::Options().idle_timeout);
        }
        return fmt::format("{} {} {}",
                           all[0]->name(),
                           both_ways ? "and" : "to",
                           names(std::span(all).subspan(1, others)));
    }
};

}  // namespace

void add_network_faults(const FaultWorld& world, Links& links, FaultList& faults) {
    const FaultOptions& on = world.options.faults;
    if (on.partitions) faults.push_back(std::make_unique<Partition>(world, links));
    if (on.one_way_partitions) faults.push_back(std::make_unique<OneWayPartition>(world, links));
    if (on.bridges) faults.push_back(std::make_unique<Bridge>(world, links));
    if (on.clogs) faults.push_back(std::make_unique<Clog>(world, links));
    if (on.swizzles) faults.push_back(std::make_unique<Swizzle>(world, links));
    if (on.resets) faults.push_back(std::make_unique<Reset>(world, links));
    if (on.half_open) faults.push_back(std::make_unique<HalfOpen>(world, links));
}

}  // namespace starling::sim
