#pragma once

// The faults that come and go. Each class of RELIABILITY's list is a Fault: it begins (drawing whom
// it hits and how badly), is at work for a while, and ends. The schedule draws which of the enabled
// ones begins when. What holds from start to end of a run (drift, late timers) is set where the
// machines are made; faults of every link are the network's own.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/cluster.h"

namespace starling::sim {

// Cuts and clogs of links, counted, because episodes overlap.
class Links {
  public:
    explicit Links(env::SimNetwork& network) : network_(network) {}
    void cut(const env::Address& from, const env::Address& to);
    void restore(const env::Address& from, const env::Address& to);
    void clog(const env::Address& from, const env::Address& to);
    void unclog(const env::Address& from, const env::Address& to);
    // Something that ends by itself was done to both directions.
    void disturb(const env::Address& a, const env::Address& b, base::Duration length);
    // Since when nothing has been at work on either direction; in the future while something is.
    env::SimTime clear_since(const env::Address& a, const env::Address& b) const;

  private:
    using Link = std::pair<env::Address, env::Address>;
    struct State {
        uint32_t cuts = 0;
        uint32_t clogs = 0;
        // Of what is over.
        env::SimTime disturbed_until{0};
    };
    State& ended(const env::Address& from, const env::Address& to);

    env::SimNetwork& network_;
    std::map<Link, State> links_;
};

struct FaultWorld {
    env::SimScheduler& scheduler;
    env::SimNetwork& network;
    const env::SimRandom& random;
    Trace& trace;
    const RunOptions& options;
    Cluster& cluster;
    base::WallTime started;
};

class Fault {
  public:
    virtual ~Fault() = default;
    virtual std::string_view name() const = 0;
    // What it does to whom; empty when there was nobody to hit. `length`: until end().
    virtual std::string begin(env::SimRandom& random, base::Duration length) = 0;
    // How long it is at work when episodes of this run last `usual`.
    virtual base::Duration draw_length(env::SimRandom&, base::Duration usual) const {
        return usual;
    }
    // Not zero: it is to be the next to begin, when nothing else is at work, and for so long
    // nothing else begins.
    virtual base::Duration calm_wanted() const { return base::Duration::zero(); }
    virtual void end() {}
};

using FaultList = std::vector<std::unique_ptr<Fault>>;

// In a fixed order, those that the options enable: network_faults.cc, machine_faults.cc.
void add_network_faults(const FaultWorld& world, Links& links, FaultList& faults);
void add_machine_faults(const FaultWorld& world, FaultList& faults);
// set_back_fault.cc: after all others.
void add_set_back_fault(const FaultWorld& world, FaultList& faults);

class FaultSchedule {
  public:
    explicit FaultSchedule(FaultWorld world);
    ~FaultSchedule();
    FaultSchedule(const FaultSchedule&) = delete;
    FaultSchedule& operator=(const FaultSchedule&) = delete;

    void begin();
    // Ends all that is at work; nothing begins any more. Clocks are right again, nobody is paused.
    void end();
    // Those that are off by so much; a fault that is at work, or begins, may set them wrong again.
    void set_clocks_right(base::Duration off_min);

    bool is_active() const { return weather_on_ || !active_.empty(); }
    // Since when nothing has been at work between the two; in the future while something is.
    env::SimTime clear_since(const Machine& a, const Machine& b) const;
    // Episodes begun, by name.
    const std::map<std::string, uint64_t>& hits() const { return hits_; }

  private:
    void schedule_next();
    void begin_one();
    // Of the fault that wants nothing else to be at work; none: there is no such fault.
    std::optional<size_t> wants_calm() const;
    void end_one(size_t index);
    void set_weather(bool on);
    void schedule_weather();

    const FaultWorld world_;
    env::SimRandom random_;
    Links links_;
    FaultList faults_;
    // Indexes into faults_: a fault is at work once at a time.
    std::vector<size_t> active_;
    bool running_ = false;
    // The fault that is at work wants no other.
    bool is_calm_ = false;
    // The weather is good for that only.
    bool weather_waits_ = false;
    bool weather_on_ = false;
    env::SimTime weather_ended_{0};
    std::map<std::string, uint64_t> hits_;
};

}  // namespace starling::sim
