#include "storage/errors.h"

#include <fmt/format.h>

#include "base/error.h"

namespace starling::storage {

absl::Status closed_error() {
    return absl::FailedPreconditionError("the storage engine is closed");
}

absl::Status disk_full_error(std::string_view what) {
    return base::make_error(
        absl::StatusCode::kResourceExhausted,
        base::reason::disk_full,
        fmt::format("the disk is full: {}; writes are taken again when there is space", what));
}

absl::Status stalled_error(std::string_view what) {
    return base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::stalled,
                            fmt::format("the storage engine is stalled: {}", what));
}

absl::Status read_only_since(const absl::Status& error) {
    return base::make_error(
        absl::StatusCode::kFailedPrecondition,
        base::reason::read_only,
        fmt::format("the storage engine is read-only since an error; reads go on, and writes are "
                    "taken again once it is reopened: {}",
                    error.ToString()));
}

absl::Status with_remedy(const absl::Status& error, std::string_view directory) {
    if (!absl::IsDataLoss(error)) {
        return error;
    }
    return absl::DataLossError(
        fmt::format("{}; nothing was changed; `starling-storage verify {}` lists all damage; "
                    "restore a backup, or remove the directory if there are replicas",
                    std::string(error.message()),
                    directory));
}

}  // namespace starling::storage
