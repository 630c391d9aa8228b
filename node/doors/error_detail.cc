#include "node/doors/error_detail.h"

#include "base/check.h"
#include "base/error.h"
#include "base/write_outcome.h"

namespace starling::node {

namespace {

namespace reason = base::reason;

uint32_t advice_ms(const std::string& why) {
    if (why == reason::overloaded || why == reason::stalled) {
        return 100;
    }
    if (why == reason::written_too_often) {
        return 1000;
    }
    if (why == reason::no_owner || why == reason::quorum_not_reached) {
        return 250;
    }
    if (why == reason::disk_full) {
        return 5000;
    }
    return 0;
}

}  // namespace

ErrorDetail to_detail(const absl::Status& status, bool is_write) {
    STARLING_CHECK(!status.ok());
    std::string why = base::reason_of(status);
    const bool unknown = is_write && base::leaves_outcome_unknown(status);
    const uint32_t retry_after_ms = advice_ms(why);
    return {.code = status.code(),
            .reason = std::move(why),
            .message = std::string(status.message()),
            .outcome_unknown = unknown,
            .retry_after_ms = retry_after_ms};
}

}  // namespace starling::node
