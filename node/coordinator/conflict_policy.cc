#include "node/coordinator/conflict_policy.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/planted.h"
#include "node/version/expiry.h"
#include "node/version/last_write.h"

namespace starling::node {

namespace {

bool is_shown_before(const Sibling* a, const Sibling* b) {
    if (STARLING_PLANTED(last_write_by_dot)) {
        return a->dot < b->dot;
    }
    return is_earlier(*a, *b);
}

// A removal is no news to who has seen what it removed: that was absent to readers before.
bool has_seen(const Superseded& seen, const Sibling& sibling) {
    if (seen.context.covers(sibling.dot) || seen.has_seen(sibling.request)) {
        return true;
    }
    return is_removal(sibling) &&
           std::any_of(
               seen.requests.begin(), seen.requests.end(), [&](const base::RequestId& request) {
                   return removal_request(request) == sibling.request;
               });
}

bool shows_a_value(const Record& record, uint64_t now_ms) {
    return std::any_of(record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
        return !sibling.is_tombstone && !has_expired(sibling, now_ms) && !record.is_hidden(sibling);
    });
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

absl::Status check_not_stale(const Record& held,
                             const std::optional<Superseded>& seen,
                             uint64_t now_ms) {
    if (!seen.has_value() || is_empty(*seen)) {
        return shows_a_value(held, now_ms)
                   ? stale("the key has a value that the write has not seen")
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

std::vector<const Sibling*> shown_values(const Record& record,
                                         ConflictPolicy policy,
                                         uint64_t now_ms) {
    const bool is_by_time = policy == ConflictPolicy::last_write_wins;
    std::vector<const Sibling*> shown;
    for (const Sibling& sibling : record.siblings) {
        // Where the latest counts, what an older request hides is earlier; or it is not, since that
        // was sent again and has the time of its first copy.
        if (is_by_time || !record.is_hidden(sibling)) {
            shown.push_back(&sibling);
        }
    }
    if (is_by_time && !shown.empty()) {
        shown = {*std::max_element(shown.begin(), shown.end(), is_shown_before)};
    }
    std::erase_if(shown, [&](const Sibling* sibling) {
        return sibling->is_tombstone || has_expired(*sibling, now_ms);
    });
    return shown;
}

}  // namespace starling::node
