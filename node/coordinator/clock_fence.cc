#include "node/coordinator/clock_fence.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/planted.h"

namespace starling::node {

namespace {

// Beyond every clock of interest, and such that no sum of a few of them overflows.
constexpr uint64_t wall_ms_max = uint64_t{1} << 60;

int64_t in_ms(base::Duration duration) {
    return duration / std::chrono::milliseconds(1);
}

}  // namespace

void ClockFence::heard(base::NodeId peer, uint64_t wall_ms, base::MonotonicTime now) {
    const int64_t distance_ms =
        static_cast<int64_t>(std::min(wall_ms, wall_ms_max)) - in_ms(now.time_since_epoch());
    const auto [at, is_new] = heard_.try_emplace(peer);
    Heard& known = at->second;
    if (is_new || now - known.window_began >= window) {
        const bool follows = !is_new && now - known.window_began < 2 * window;
        known = {.distance_ms = distance_ms,
                 .distance_before_ms = follows ? std::optional(known.distance_ms) : std::nullopt,
                 .window_began = now};
    } else {
        known.distance_ms = std::max(known.distance_ms, distance_ms);
    }
}

void ClockFence::keep_members(const ClusterView& view) {
    absl::erase_if(heard_, [&](const auto& entry) { return !view.peers.contains(entry.first); });
}

ClockFence::Verdict ClockFence::judge(const ClusterView& view,
                                      base::MonotonicTime now,
                                      base::WallTime wall) const {
    const int64_t own_distance_ms = in_ms(wall.time_since_epoch()) - in_ms(now.time_since_epoch());
    std::vector<int64_t> ahead_ms;
    bool has_live_peers = false;
    for (const auto& [node, peer] : view.peers) {
        if (node == view.self || !view.is_alive(node)) {
            continue;
        }
        has_live_peers = true;
        const auto known = heard_.find(node);
        if (known != heard_.end() && now - known->second.window_began < 2 * window) {
            const Heard& heard = known->second;
            ahead_ms.push_back(
                own_distance_ms -
                std::max(heard.distance_ms, heard.distance_before_ms.value_or(heard.distance_ms)));
        }
    }
    Verdict verdict;
    verdict.asked = static_cast<uint32_t>(ahead_ms.size());
    if (ahead_ms.empty()) {
        verdict.is_fenced = has_live_peers;
        return verdict;
    }
    const int64_t allowed_ms = in_ms(drift_max_);
    verdict.agreeing =
        static_cast<uint32_t>(std::count_if(ahead_ms.begin(), ahead_ms.end(), [&](int64_t ahead) {
            return ahead >= -allowed_ms && ahead <= allowed_ms;
        }));
    verdict.is_fenced = 2 * verdict.agreeing < verdict.asked;
    std::sort(ahead_ms.begin(), ahead_ms.end());
    verdict.ahead_ms = ahead_ms[(ahead_ms.size() - 1) / 2];
    return verdict;
}

absl::Status ClockFence::check(const ClusterView& view,
                               base::MonotonicTime now,
                               base::WallTime wall) {
    const Verdict verdict = judge(view, now, wall);
    if (!verdict.is_fenced || STARLING_PLANTED(fence_ignored)) {
        return absl::OkStatus();
    }
    ++refused_;
    return base::make_error(
        absl::StatusCode::kUnavailable,
        base::reason::clock_fenced,
        verdict.asked == 0
            ? std::string("this node has not heard the time from another one yet, and decides no "
                          "last_write_wins: ask another node, or try again in a second")
            : fmt::format("the clock of this node is {} s {} that of most others, {} s are "
                          "allowed, so it decides no last_write_wins: ask another node, and set "
                          "the clock",
                          std::abs(verdict.ahead_ms) / 1000,
                          verdict.ahead_ms < 0 ? "behind" : "ahead of",
                          in_ms(drift_max_) / 1000));
}

}  // namespace starling::node
