#include "env/posix/file_error.h"

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"

namespace starling::env {

namespace {

absl::StatusCode code_of(int error) {
    switch (error) {
        case ENOENT:
            return absl::StatusCode::kNotFound;
        case EEXIST:
            return absl::StatusCode::kAlreadyExists;
        case EACCES:
        case EPERM:
        case EROFS:
            return absl::StatusCode::kPermissionDenied;
        case ENOTEMPTY:
        case EWOULDBLOCK:
            return absl::StatusCode::kFailedPrecondition;
        case EISDIR:
        case ENOTDIR:
        case ELOOP:
        case ENXIO:
        case EINVAL:
        case EXDEV:
        case ENAMETOOLONG:
            return absl::StatusCode::kInvalidArgument;
        default:
            return absl::StatusCode::kUnavailable;
    }
}

}  // namespace

absl::Status file_error(int error,
                        std::string_view action,
                        const std::string& path,
                        std::optional<uint64_t> offset) {
    const std::string place =
        offset.has_value() ? fmt::format("at offset {}: ", *offset) : std::string();
    const std::string message =
        fmt::format("{}: {}{}: {}", path, place, action, std::generic_category().message(error));
    if (error == ENOSPC || error == EDQUOT) {
        return base::make_error(
            absl::StatusCode::kResourceExhausted, base::reason::disk_full, message);
    }
    return {code_of(error), message};
}

absl::Status read_error(int error, const std::string& path, uint64_t offset) {
    absl::Status status = file_error(error, "read", path, offset);
    // A medium error, or a checksum of the file system's own.
    const bool is_lost = error == EIO || error == EBADMSG || error == EUCLEAN;
    return is_lost ? absl::DataLossError(status.message()) : status;
}

}  // namespace starling::env
