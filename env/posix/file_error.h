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

}  // namespace starling::env
