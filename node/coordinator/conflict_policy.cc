#include "node/coordinator/conflict_policy.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/error.h"
#include "base/planted.h"

namespace starling::node {

namespace {

bool is_earlier(const Sibling* a, const Sibling* b) {
    if (STARLING_PLANTED(last_write_by_dot)) {
        return a->dot < b->dot;
    }
    return std::tie(a->time, a->dot) < std::tie(b->time, b->dot);
}

bool has_seen(const Superseded& seen, const Sibling& sibling) {
    return seen.context.covers(sibling.dot) || seen.has_seen(sibling.request);
}

bool is_empty(const Superseded& seen) {
    return seen.context.empty() && seen.requests.empty();
}

absl::Status stale(std::string_view what) {
    return base::make_error(
        absl::StatusCode::kAborted,
        base::reason::stale_context,
        fmt::format("{}; nothing was written: read the key and try again with that context", what));
}

}  // namespace

bool asks_before_minting(ConflictPolicy policy, bool has_context, bool blind) {
    if (policy == ConflictPolicy::reject_stale) {
        return !has_context || !STARLING_PLANTED(stale_check_alone);
    }
    return !has_context && !blind && !STARLING_PLANTED(mints_over_own_replica);
}

absl::Status check_not_stale(const Record& held, const std::optional<Superseded>& seen) {
    if (!seen.has_value() || is_empty(*seen)) {
        return held.has_live_value() ? stale("the key has a value that the write has not seen")
                                     : absl::OkStatus();
    }
    // A deletion that the client has not seen makes its context as old as another value would.
    const auto unseen = std::count_if(held.siblings.begin(),
                                      held.siblings.end(),
                                      [&](const Sibling& s) { return !has_seen(*seen, s); });
    return unseen == 0 ? absl::OkStatus()
                       : stale(fmt::format("the key was written since its context was read: {} of "
                                           "its {} versions are not in it",
                                           unseen,
                                           held.siblings.size()));
}

HybridTime time_over(const Record& held, base::WallTime now) {
    HybridTime latest;
    for (const Sibling& sibling : held.siblings) {
        latest = std::max(latest, sibling.time);
    }
    return time_after(latest, now);
}

std::vector<const Sibling*> shown_values(const Record& record, ConflictPolicy policy) {
    std::vector<const Sibling*> shown;
    for (const Sibling& sibling : record.siblings) {
        if (!record.is_hidden(sibling)) {
            shown.push_back(&sibling);
        }
    }
    if (policy == ConflictPolicy::last_write_wins && !shown.empty()) {
        shown = {*std::max_element(shown.begin(), shown.end(), is_earlier)};
    }
    std::erase_if(shown, [](const Sibling* sibling) { return sibling->is_tombstone; });
    return shown;
}

}  // namespace starling::node
