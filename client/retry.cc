#include "client/retry.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "client/error.h"

namespace starling::client {

namespace {

namespace reason = base::reason;

// Another node's clock may be right, and its disk take writes.
bool is_of_this_node(std::string_view why) {
    return why == reason::clock_drift || why == reason::clock_fenced || why == reason::disk_full ||
           why == reason::read_only || why == reason::data_loss;
}

bool is_passing(const absl::Status& status) {
    const std::string why = base::reason_of(status);
    if (why.empty()) {
        // Cancelled: by a server that ends; what this client cancels is not tried again anyway.
        return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
               absl::IsCancelled(status);
    }
    return why == reason::quorum_not_reached || why == reason::no_owner ||
           why == reason::stopping || why == reason::deadline || why == reason::overloaded ||
           why == reason::stalled || why == reason::written_too_often ||
           // Another node may reach a replica that has it all, or this one a little later.
           why == reason::session_not_satisfied;
}

}  // namespace

RetryCore::RetryCore(const RetryPolicy& policy,
                     Repeat repeat,
                     uint32_t endpoint_count,
                     base::MonotonicTime give_up_at)
    : policy_(policy),
      repeat_(repeat),
      endpoint_count_(endpoint_count),
      give_up_at_(give_up_at),
      backoff_(policy.backoff_first, policy.backoff_max) {}

base::Duration RetryCore::try_time(base::MonotonicTime now) const {
    const base::Duration left = std::max(give_up_at_ - now, base::Duration::zero());
    return std::min(left, policy_.try_timeout);
}

bool RetryCore::may_repeat(const Failure& failure) const {
    if (policy_.tries_max != 0 && tries_ >= policy_.tries_max) {
        return false;
    }
    const bool is_safe = repeat_ != Repeat::another_action || !failure.may_have_begun;
    return is_safe &&
           (failure.may_pass || is_passing(failure.status) || may_pass_elsewhere(failure));
}

bool RetryCore::may_pass_elsewhere(const Failure& failure) const {
    return endpoint_count_ > 1 && is_of_this_node(base::reason_of(failure.status));
}

std::optional<base::Duration> RetryCore::fail(Failure failure,
                                              base::MonotonicTime now,
                                              env::Random& random) {
    STARLING_CHECK(!failure.status.ok());
    ++tries_;
    endpoints_down_ += failure.is_endpoint_down ? 1 : 0;
    may_exist_ = may_exist_ || (failure.may_have_begun && repeat_ != Repeat::harmless);
    const bool repeats = may_repeat(failure);
    // When this node will do better is of no interest to the next.
    const base::Duration retry_after =
        may_pass_elsewhere(failure) ? base::Duration::zero() : failure.retry_after;
    // That the time ran out tells a reader less than what a node has answered before.
    const std::string told = last_.ok() ? "" : base::reason_of(last_);
    const bool is_told_more = repeat_ == Repeat::harmless && !told.empty() &&
                              told != reason::deadline &&
                              base::reason_of(failure.status) == reason::deadline;
    if (!is_told_more) {
        last_ = std::move(failure.status);
    }
    if (base::reason_of(last_) == reason::request_superseded) {
        may_exist_ = false;
    }
    if (!repeats) {
        return std::nullopt;
    }
    base::Duration wait = base::Duration::zero();
    if (!failure.is_endpoint_down || endpoints_down_ >= endpoint_count_) {
        wait = std::max(backoff_.fail(random), retry_after);
    }
    if (now + wait >= give_up_at_) {
        return std::nullopt;
    }
    return wait;
}

absl::Status RetryCore::result() const {
    STARLING_CHECK(!last_.ok());
    absl::Status status = last_;
    if (tries_ > 1) {
        status =
            base::make_error(last_.code(),
                             base::reason_of(last_),
                             fmt::format("{} ({} tries)", std::string(last_.message()), tries_));
    }
    return may_exist_ ? with_outcome_unknown(std::move(status)) : status;
}

}  // namespace starling::client
