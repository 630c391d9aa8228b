// Each class of faults by itself: a short run that has no other is clean, and the fault was at work
// in it. What a seed draws mixes the classes, so that one which does nothing any more, or a bug
// that shows only where the rest is calm, may stay hidden.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/sim/simulation.h"

namespace starling::sim {

// So that CTest's name of a test is the same each time.
static void PrintTo(const FaultClass& fault_class, std::ostream* out) {
    *out << fault_class.name;
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t seed = 1;

RunResult run(const RunOptions& options) {
    RunResult result = Simulation(options).run();
    for (const Violation& violation : result.violations)
        ADD_FAILURE() << violation.invariant << ": " << violation.what;
    if (!result.ok()) std::printf("%s%s", to_string(options).c_str(), result.key_history.c_str());
    return result;
}

constexpr auto test_name = [](const auto& test) {
    std::string name(test.param.name);
    std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    return name;
};

class FaultClassTest : public ::testing::TestWithParam<FaultClass> {};

TEST_P(FaultClassTest, IsAtWorkAloneAndBreaksNoPromise) {
    const std::string name(GetParam().name);
    SCOPED_TRACE(fmt::format("starling-sim --seed {} --minutes 1 --only '{}'", seed, name));
    EXPECT_GT(run(only_fault(GetParam(), seed)).faults[name], 0);
}

INSTANTIATE_TEST_SUITE_P(All, FaultClassTest, ::testing::ValuesIn(fault_classes()), test_name);

// What frames meet all the time.
struct Weather {
    std::string_view name;
    env::SimLinkFaults faults;
    uint64_t env::SimNetworkStats::* hits;
};
void PrintTo(const Weather& weather, std::ostream* out) {
    *out << weather.name;
}
constexpr auto all_weathers = std::to_array<Weather>({
    {"loss", {.loss_per_million = 50'000}, &env::SimNetworkStats::lost},
    {"tail",
     {.tail_per_million = 5'000, .tail_max = seconds(5)},
     &env::SimNetworkStats::delayed_by_tail},
    {"duplicate",
     {.duplicate_per_million = 100'000, .replay_delay_max = seconds(30)},
     &env::SimNetworkStats::replays_delivered},
    {"reordered frame", {.reorder_per_million = 100'000}, &env::SimNetworkStats::reordered},
    {"flipped bit", {.corrupt_per_million = 2'000}, &env::SimNetworkStats::corrupted},
    {"reset by weather", {.reset_per_million = 2'000}, &env::SimNetworkStats::resets},
    {"full path that drops",
     {.delay_mean = milliseconds(50), .capacity_bytes = 2'048},
     &env::SimNetworkStats::over_capacity},
    {"full path that holds up",
     {.delay_mean = milliseconds(50), .capacity_bytes = 2'048, .waits_for_capacity = true},
     &env::SimNetworkStats::held_by_capacity},
});

class WeatherTest : public ::testing::TestWithParam<Weather> {};

TEST_P(WeatherTest, IsAtWorkAloneAndBreaksNoPromise) {
    RunOptions options = calm_options(seed);
    options.faults.weather = GetParam().faults;
    EXPECT_GT(run(options).network.*GetParam().hits, 0);
}

INSTANTIATE_TEST_SUITE_P(All, WeatherTest, ::testing::ValuesIn(all_weathers), test_name);

// Nothing counts these.

TEST(ClockTest, ClocksThatDriftBreakNoPromise) {
    RunOptions options = calm_options(seed);
    options.faults.drift_per_million_max = 50'000;
    run(options);
}

TEST(ClockTest, TimersThatAreLateBreakNoPromise) {
    RunOptions options = calm_options(seed);
    options.faults.late_timers_per_million = 10'000;
    options.faults.timer_lateness_max = seconds(2);
    run(options);
}

}  // namespace
}  // namespace starling::sim
