#pragma once

// What errno means to a caller of FileSystem: see env/file_system.h for the codes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace starling::env {

// "<path>: [at offset <offset>: ]<action>: <what the kernel says>". REQUIRES: error != 0.
absl::Status file_error(int error,
                        std::string_view action,
                        const std::string& path,
                        std::optional<uint64_t> offset = std::nullopt);

// As file_error(), of a read: data_loss when it says that the disk has lost what was there.
absl::Status read_error(int error, const std::string& path, uint64_t offset);

}  // namespace starling::env
