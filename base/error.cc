#include "base/error.h"

#include <string>

#include "absl/strings/cord.h"

namespace starling::base {

namespace {

constexpr absl::string_view reason_url = "starling/reason";

// Debian builds Abseil for C++14, where its string_view is not std::string_view.
absl::string_view to_absl(std::string_view text) {
    return {text.data(), text.size()};
}

}  // namespace

absl::Status make_error(absl::StatusCode code, std::string_view reason, std::string_view message) {
    absl::Status status(code, to_absl(message));
    status.SetPayload(reason_url, absl::Cord(to_absl(reason)));
    return status;
}

std::string reason_of(const absl::Status& status) {
    const auto payload = status.GetPayload(reason_url);
    return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace starling::base
