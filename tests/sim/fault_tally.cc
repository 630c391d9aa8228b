#include "tests/sim/fault_tally.h"

#include <array>

#include <fmt/format.h>
#include <sys/mman.h>

#include "base/check.h"

namespace starling::sim {

namespace {

// Of fewer runs in all, or with the class, nothing follows.
constexpr uint64_t runs_min = 40;
constexpr uint64_t drawn_min = 10;

struct WeatherClass {
    std::string_view name;
    uint32_t env::SimLinkFaults::* per_million;
    uint64_t env::SimNetworkStats::* hits;
};
constexpr auto weather_classes = std::to_array<WeatherClass>({
    {"loss", &env::SimLinkFaults::loss_per_million, &env::SimNetworkStats::lost},
    {"tail", &env::SimLinkFaults::tail_per_million, &env::SimNetworkStats::delayed_by_tail},
    {"duplicate",
     &env::SimLinkFaults::duplicate_per_million,
     &env::SimNetworkStats::replays_delivered},
    {"reordered frame", &env::SimLinkFaults::reorder_per_million, &env::SimNetworkStats::reordered},
    {"flipped bit", &env::SimLinkFaults::corrupt_per_million, &env::SimNetworkStats::corrupted},
    {"reset by weather", &env::SimLinkFaults::reset_per_million, &env::SimNetworkStats::resets},
});

}  // namespace

std::vector<FaultTally::Class> FaultTally::all_classes() {
    std::vector<Class> classes;
    for (const FaultClass& each : fault_classes()) {
        classes.push_back(
            {.name = each.name,
             .is_drawn = [each](const RunOptions& options) { return options.faults.*each.is_on; },
             .hits =
                 [each](const RunResult& result) {
                     const auto found = result.faults.find(std::string(each.name));
                     return found == result.faults.end() ? 0 : found->second;
                 }});
    }
    for (const WeatherClass& each : weather_classes) {
        classes.push_back(
            {.name = each.name,
             .is_drawn =
                 [each](const RunOptions& options) {
                     return options.faults.weather.*each.per_million > 0;
                 },
             .hits = [each](const RunResult& result) { return result.network.*each.hits; }});
    }
    classes.push_back({.name = "full path",
                       .is_drawn =
                           [](const RunOptions& options) {
                               return options.faults.weather.capacity_bytes != UINT64_MAX;
                           },
                       .hits =
                           [](const RunResult& result) {
                               return result.network.over_capacity +
                                      result.network.held_by_capacity;
                           }});
    classes.push_back({.name = "operation of a canary",
                       .is_drawn = [](const RunOptions& options) { return options.node.canary; },
                       .hits = [](const RunResult& result) { return result.canary_operations; }});
    return classes;
}

FaultTally::FaultTally() : classes_(all_classes()) {
    const size_t count = classes_.size() + 1;
    void* const shared = mmap(
        nullptr, count * sizeof(Count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    STARLING_CHECK_MSG(shared != MAP_FAILED, "no memory to count faults in");
    // Zeros are counts of zero.
    counts_ = {static_cast<Count*>(shared), count};
}

FaultTally::~FaultTally() {
    munmap(counts_.data(), counts_.size_bytes());
}

void FaultTally::add(const RunOptions& options, const RunResult& result) {
    ++counts_.back().runs;
    for (size_t i = 0; i < classes_.size(); ++i) {
        if (!classes_[i].is_drawn(options)) continue;
        ++counts_[i].runs;
        counts_[i].hits += classes_[i].hits(result);
    }
}

std::string FaultTally::table() const {
    std::string out;
    for (size_t i = 0; i < classes_.size(); ++i) {
        if (counts_[i].runs == 0) continue;
        out += fmt::format("  {:>10} {:>6}  {}\n",
                           counts_[i].hits.load(),
                           counts_[i].runs.load(),
                           classes_[i].name);
    }
    return out;
}

std::string FaultTally::never_hit() const {
    std::string out;
    if (counts_.back().runs < runs_min) return out;
    for (size_t i = 0; i < classes_.size(); ++i) {
        if (counts_[i].runs < drawn_min || counts_[i].hits > 0) continue;
        out += fmt::format("{}{}", out.empty() ? "" : ", ", classes_[i].name);
    }
    return out;
}

}  // namespace starling::sim
