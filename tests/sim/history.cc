#include "tests/sim/history.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::sim {

WriteId History::attempt(Write write, const std::vector<WriteId>& seen) {
    const WriteId id(static_cast<uint32_t>(writes_.size() + 1));
    write.covers = seen;
    if (write.replaces == Replaces::acknowledged) {
        for (const WriteId lower : standing_) {
            if (get(lower).strength >= write.meets()) write.covers.push_back(lower);
        }
    }
    for (const WriteId lower : write.covers) {
        STARLING_CHECK(lower < id);
        at(lower).covered_by.push_back(id);
    }
    WriteSet below;
    for (const WriteId lower : write.covers) {
        below.add(lower);
        below.add(below_[lower.raw() - 1]);
    }
    below_.push_back(std::move(below));
    if (write.replaces != Replaces::seen) {
        without_context_.push_back(id);
        settled_up_to_.push_back(never);
    }
    context_clock_ms_ = std::max(context_clock_ms_, write.context_clock_ms);
    if (!write.is_delete) {
        const bool fresh = by_value_.emplace(write.value, id).second;
        STARLING_CHECK_MSG(fresh, "the workload writes one value to one key once");
    }
    writes_.push_back(std::move(write));
    return id;
}

void History::acknowledge(WriteId id, SimTime now, uint32_t strength) {
    Write& write = at(id);
    if (write.acknowledged != never) return;
    write.acknowledged = now;
    write.strength = strength;
    const bool outlived = !find_superseder(id, [&](WriteId upper) {
                               const Write& other = get(upper);
                               return other.acknowledged != never && other.strength >= strength;
                           }).is_none();
    std::erase_if(standing_, [&](WriteId lower) {
        return get(lower).strength <= strength && must_cover(id, lower);
    });
    if (!outlived) standing_.push_back(id);
}

void History::settle(WriteId id, SimTime last_mint) {
    Write& write = at(id);
    if (write.settled != never && write.settled >= last_mint) return;
    write.settled = last_mint;
    const auto found = std::ranges::lower_bound(without_context_, id);
    if (found == without_context_.end() || *found != id) return;
    for (auto place = static_cast<size_t>(found - without_context_.begin());
         place < without_context_.size();
         ++place) {
        const SimTime own = get(without_context_[place]).settled;
        const SimTime all = place == 0 ? own : std::max(own, settled_up_to_[place - 1]);
        if (std::exchange(settled_up_to_[place], all) == all) break;
    }
}

void History::show(WriteId id, SimTime now, uint32_t strength) {
    Write& write = at(id);
    if (strength <= write.shown_strength) return;
    if (write.shown == never) shown_.push_back(id);
    write.shown = now;
    write.shown_strength = strength;
}

WriteId History::find_value(std::string_view value) const {
    const auto found = by_value_.find(std::string(value));
    return found == by_value_.end() ? WriteId() : found->second;
}

std::vector<WriteId> History::known() const {
    std::vector<WriteId> result;
    for (uint32_t raw = 1; raw <= writes_.size(); ++raw) {
        const Write& write = get(WriteId(raw));
        if (write.acknowledged != never || write.was_read) result.push_back(WriteId(raw));
    }
    return result;
}

// A coordinator lets a write without context cover what it holds, whatever the client has seen: all
// that may have been there when its last dot was minted, but not what must cover the write itself.
// So each later one may cover `lower`; of the earlier ones these.
template <typename Open, typename Predicate>
bool History::any_earlier_may_cover_unseen(WriteId lower,
                                           const Open& is_open,
                                           const Predicate& predicate) const {
    const SimTime started = get(lower).started;
    const auto first = std::ranges::upper_bound(settled_up_to_, started) - settled_up_to_.begin();
    const auto last = std::ranges::lower_bound(without_context_, lower) - without_context_.begin();
    if (first >= last) return false;
    const std::span<const WriteId> uppers(without_context_.begin() + first,
                                          without_context_.begin() + last);
    const auto may_cover = [&](WriteId upper) {
        return is_open(upper) && get(upper).settled > started;
    };
    return std::ranges::any_of(uppers, [&](WriteId upper) {
        return may_cover(upper) && !must_cover(lower, upper) && predicate(upper);
    });
}

bool History::absence_explained(WriteId id,
                                const std::vector<WriteId>& present,
                                uint64_t expired_by_ms) const {
    if (may_have_expired(id, expired_by_ms)) return true;
    // Mostly what is there has replaced it.
    if (std::ranges::any_of(present, [&](WriteId upper) { return must_cover(upper, id); }))
        return true;
    const auto ends_here = [&](WriteId upper) {
        return get(upper).is_delete || may_have_expired(upper, expired_by_ms) ||
               std::ranges::find(present, upper) != present.end();
    };
    std::vector<bool> visited(writes_.size() + 1, false);
    std::vector<WriteId> waiting{id};
    visited[id.raw()] = true;
    const auto is_open = [&](WriteId upper) {
        return !visited[upper.raw()] && !get(upper).refused;
    };
    const auto visit = [&](WriteId upper) {
        if (!is_open(upper)) return false;
        visited[upper.raw()] = true;
        waiting.push_back(upper);
        return ends_here(upper);
    };
    // All of without_context_ from here on are visited.
    auto later = without_context_.end();
    while (!waiting.empty()) {
        const WriteId lower = waiting.back();
        waiting.pop_back();
        if (std::ranges::any_of(get(lower).covered_by, visit)) return true;
        const auto after = std::upper_bound(without_context_.begin(), later, lower);
        if (std::any_of(after, later, visit)) return true;
        later = after;
        if (any_earlier_may_cover_unseen(lower, is_open, visit)) return true;
    }
    return false;
}

std::string History::describe(WriteId id) const {
    const Write& write = get(id);
    const auto seconds = [](SimTime time) {
        return time == never ? std::string("never")
                             : fmt::format("{:.6f}", static_cast<double>(time.count()) * 1e-9);
    };
    std::string covers;
    for (const WriteId lower : write.covers)
        covers += fmt::format(" w{}", lower.raw());
    const std::string expires =
        write.expires_ms == 0 ? "" : fmt::format(" that expires at {}", write.expires_ms);
    return fmt::format("w{} ({} {}{}, {}, W={}, sent {}, acknowledged {} by {} seats{}; covers{})",
                       id.raw(),
                       write.is_delete ? "delete" : "put",
                       base::to_string(write.request),
                       expires,
                       write.replaces == Replaces::acknowledged ? "no context"
                       : write.replaces == Replaces::local      ? "blind"
                                                                : "with context",
                       write.quorum,
                       seconds(write.started),
                       seconds(write.acknowledged),
                       write.strength,
                       write.was_read ? ", was read" : "",
                       covers.empty() ? " nothing" : covers);
}

}  // namespace starling::sim
