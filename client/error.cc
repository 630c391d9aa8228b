#include "client/error.h"

#include "absl/strings/cord.h"

#include "base/error.h"

namespace starling::client {

namespace {

constexpr absl::string_view outcome_url = "starling/outcome-unknown";

}  // namespace

bool outcome_unknown(const absl::Status& status) {
    return status.GetPayload(outcome_url).has_value();
}

absl::Status with_outcome_unknown(absl::Status status) {
    status.SetPayload(outcome_url, absl::Cord("true"));
    return status;
}

bool is_unreachable(const absl::Status& status) {
    return absl::IsUnavailable(status) && base::reason_of(status).empty();
}

}  // namespace starling::client
