#include "node/coordinator/context.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"

namespace starling::node {

absl::Status check_request_age(const CoordinatorContext& context, const base::RequestId& request) {
    const uint64_t now_ms = context.host.now_ms();
    const auto window_ms =
        static_cast<uint64_t>(context.options.request_window / std::chrono::milliseconds(1));
    if (request.created_ms + window_ms < now_ms) {
        STARLING_MARK(request_older_than_window);
        return base::make_error(
            absl::StatusCode::kFailedPrecondition,
            base::reason::request_too_old,
            fmt::format("the request is {} ms old, older than the request window: whether an "
                        "earlier try of it was applied is not known",
                        now_ms - request.created_ms));
    }
    if (request.created_ms < context.host.requests_from_ms()) {
        STARLING_MARK(request_before_clock_step);
        return base::make_error(
            absl::StatusCode::kFailedPrecondition,
            base::reason::request_too_old,
            fmt::format("the clock of this node was set back, and it takes no request made before "
                        "{} (Unix ms): whether an earlier try of it was applied is not known",
                        context.host.requests_from_ms()));
    }
    return absl::OkStatus();
}

absl::Status check_has_own_writes(const CoordinatorContext& context,
                                  GroupId group,
                                  const Frontier& frontier) {
    // It need not be here where this node gave a seat away, with its data, and has taken another
    // since.
    if (frontier.seen_of(context.actor).base + 1 < context.store.upcoming_sequence(group)) {
        STARLING_MARK(put_lacks_own_writes);
        return base::make_error(absl::StatusCode::kUnavailable,
                                base::reason::no_owner,
                                "this node does not have all that it wrote itself yet");
    }
    return absl::OkStatus();
}

absl::Status check_room_for_own_life(const CoordinatorContext& context, const Frontier& frontier) {
    const size_t lives = frontier.seen().size();
    if (lives < context.options.lives_max || frontier.seen_of(context.actor).base > 0) {
        return absl::OkStatus();
    }
    STARLING_MARK(put_finds_no_room_for_its_life);
    return base::make_error(
        absl::StatusCode::kResourceExhausted,
        base::reason::too_many_lives,
        fmt::format("{} lives of nodes have written to this partition, and cannot be forgotten "
                    "while a member is away",
                    lives));
}

void OutcomeList::asked(base::NodeId node) {
    const bool known =
        std::any_of(outcomes_.begin(), outcomes_.end(), [&](const ReplicaOutcome& outcome) {
            return outcome.node == node;
        });
    if (!known) {
        outcomes_.emplace_back().node = node;
    }
}

bool OutcomeList::is_late(base::NodeId node) const {
    return std::none_of(outcomes_.begin(), outcomes_.end(), [&](const ReplicaOutcome& outcome) {
        return outcome.node == node && outcome.state != ReplicaState::late;
    });
}

void OutcomeList::set(base::NodeId node,
                      ReplicaState state,
                      SeatSet seats,
                      base::Duration elapsed,
                      std::string detail) {
    asked(node);
    for (ReplicaOutcome& outcome : outcomes_) {
        if (outcome.node == node) {
            outcome.state = state;
            outcome.seats = seats.list();
            outcome.elapsed = elapsed;
            outcome.detail = std::move(detail);
            return;
        }
    }
}

}  // namespace starling::node
