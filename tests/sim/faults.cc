#include "tests/sim/faults.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const env::EventLabel fault_label("sim.fault");

double in_seconds(base::Duration duration) {
    return static_cast<double>(duration.count()) * 1e-9;
}

}  // namespace

void Links::cut(const env::Address& from, const env::Address& to) {
    if (++links_[{from, to}].cuts == 1) network_.cut(from, to);
}

void Links::restore(const env::Address& from, const env::Address& to) {
    if (--ended(from, to).cuts == 0) network_.restore(from, to);
}

void Links::clog(const env::Address& from, const env::Address& to) {
    if (++links_[{from, to}].clogs == 1) network_.clog(from, to);
}

void Links::unclog(const env::Address& from, const env::Address& to) {
    if (--ended(from, to).clogs == 0) network_.unclog(from, to);
}

Links::State& Links::ended(const env::Address& from, const env::Address& to) {
    State& state = links_[{from, to}];
    state.disturbed_until = std::max(state.disturbed_until, network_.scheduler().now());
    return state;
}

void Links::disturb(const env::Address& a, const env::Address& b, base::Duration length) {
    State& state = links_[{a, b}];
    state.disturbed_until = std::max(state.disturbed_until, network_.scheduler().now() + length);
}

env::SimTime Links::clear_since(const env::Address& a, const env::Address& b) const {
    env::SimTime since{0};
    for (const Link& link : {Link{a, b}, Link{b, a}}) {
        const auto found = links_.find(link);
        if (found == links_.end()) continue;
        const State& state = found->second;
        if (state.cuts > 0 || state.clogs > 0) return env::SimTime::max();
        since = std::max(since, state.disturbed_until);
    }
    return since;
}

FaultSchedule::FaultSchedule(FaultWorld world)
    : world_(world), random_(world.random.fork("faults")), links_(world.network) {
    add_network_faults(world_, links_, faults_);
    add_machine_faults(world_, faults_);
    add_set_back_fault(world_, faults_);
}

FaultSchedule::~FaultSchedule() {
    world_.scheduler.drop_context(this);
}

void FaultSchedule::begin() {
    running_ = true;
    if (is_bad(world_.options.faults.weather)) {
        set_weather(true);
        if (world_.options.faults.weather_comes_and_goes) schedule_weather();
    }
    if (!faults_.empty()) schedule_next();
}

void FaultSchedule::end() {
    running_ = false;
    world_.scheduler.drop_context(this);
    while (!active_.empty())
        end_one(active_.back());
    set_weather(false);
    world_.network.heal();
    for (const auto& machine : world_.cluster.machines()) {
        machine->wall_clock().set_strobe(base::Duration::zero(), base::Duration::zero());
        machine->keep_time();
        machine->forget_death();
    }
    set_clocks_right(base::Duration::zero());
    world_.cluster.bring_all_back();
    world_.trace.add("all faults end");
}

void FaultSchedule::set_clocks_right(base::Duration off_min) {
    for (const auto& machine : world_.cluster.machines()) {
        const base::Duration off =
            machine->wall_clock().wall_now() - (world_.started + world_.scheduler.now());
        if (std::chrono::abs(off) < off_min) continue;
        machine->wall_clock().correct(world_.started);
        if (off_min > base::Duration::zero())
            world_.trace.add("the clock of {} is set right", machine->name());
    }
}

env::SimTime FaultSchedule::clear_since(const Machine& a, const Machine& b) const {
    if (weather_on_) return env::SimTime::max();
    return std::max(weather_ended_, links_.clear_since(a.address(), b.address()));
}

void FaultSchedule::schedule_next() {
    world_.scheduler.schedule_after(
        random_.exponential(world_.options.faults.gap_mean),
        {.owner = env::no_owner, .context = this, .label = &fault_label, .task = [this] {
             begin_one();
             schedule_next();
         }});
}

std::optional<size_t> FaultSchedule::wants_calm() const {
    const auto found = std::ranges::find_if(
        faults_, [](const auto& fault) { return fault->calm_wanted() > base::Duration::zero(); });
    if (found == faults_.end()) return std::nullopt;
    return static_cast<size_t>(found - faults_.begin());
}

void FaultSchedule::begin_one() {
    if (is_calm_ || active_.size() >= world_.options.faults.episodes_at_once) return;
    const std::optional<size_t> calm = wants_calm();
    if (calm && !active_.empty()) return;
    const size_t index = calm ? *calm : random_.below(faults_.size());
    if (std::ranges::find(active_, index) != active_.end()) return;
    const base::Duration mean = world_.options.faults.length_mean;
    const base::Duration length =
        calm ? faults_[index]->calm_wanted()
             : faults_[index]->draw_length(
                   random_,
                   std::clamp<base::Duration>(
                       random_.exponential(mean), milliseconds(50), 10 * mean));
    const std::string what = faults_[index]->begin(random_, length);
    if (what.empty()) return;
    is_calm_ = calm.has_value();
    if (is_calm_) {
        weather_waits_ = weather_on_;
        set_weather(false);
    }
    ++hits_[std::string(faults_[index]->name())];
    world_.trace.add(
        "fault {} begins: {}, for {:.3f} s", faults_[index]->name(), what, in_seconds(length));
    active_.push_back(index);
    world_.scheduler.schedule_after(
        length,
        {.owner = env::no_owner, .context = this, .label = &fault_label, .task = [this, index] {
             end_one(index);
         }});
}

void FaultSchedule::end_one(size_t index) {
    world_.trace.add("fault {} ends", faults_[index]->name());
    std::erase(active_, index);
    faults_[index]->end();
    is_calm_ = false;
    set_weather(weather_on_ || std::exchange(weather_waits_, false));
    // While nodes lack what they missed.
    if (running_ && wants_calm()) begin_one();
}

void FaultSchedule::set_weather(bool on) {
    if (weather_on_ == on) return;
    weather_on_ = on;
    weather_ended_ = world_.scheduler.now();
    if (on) ++hits_["weather"];
    world_.network.set_faults(on ? world_.options.faults.weather : env::SimLinkFaults());
    world_.trace.add("the network's weather is {}", on ? "bad" : "calm");
}

void FaultSchedule::schedule_weather() {
    const base::Duration mean =
        weather_on_ ? 2 * world_.options.faults.length_mean : world_.options.faults.gap_mean;
    world_.scheduler.schedule_after(
        random_.exponential(mean),
        {.owner = env::no_owner, .context = this, .label = &fault_label, .task = [this] {
             if (is_calm_) {
                 weather_waits_ = !weather_waits_;
             } else {
                 set_weather(!weather_on_);
             }
             schedule_weather();
         }});
}

}  // namespace starling::sim
