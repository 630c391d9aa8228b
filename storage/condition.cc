#include "storage/condition.h"

#include "absl/strings/escaping.h"
#include <fmt/format.h>

namespace starling::storage {

absl::Status condition_failed(const Condition& condition) {
    return absl::AbortedError(
        fmt::format("a condition does not hold: key \"{}\" {}",
                    absl::CHexEscape(condition.key),
                    condition.expected.has_value() ? "holds something else" : "is present"));
}

}  // namespace starling::storage
