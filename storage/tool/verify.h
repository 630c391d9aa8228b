#pragma once

// Reads every byte of a data directory that has a checksum, and checks it. Offline, and without the
// engine, which refuses a directory at its first damage: this finds them all, as far as one file
// can be read without another.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "env/file_system.h"

namespace starling::storage::tool {

struct Finding {
    std::string file;
    uint64_t offset = 0;
    std::string what;
};

struct Verified {
    std::vector<Finding> damages;
    // What looks odd and is not wrong: the torn tail of a log that a crash left, files nobody
    // names.
    std::vector<Finding> notes;
    uint64_t files = 0;
    uint64_t bytes = 0;
};

// An error: the directory itself cannot be read, or no engine wrote it.
absl::StatusOr<Verified> verify_directory(env::FileSystem& files, const std::string& directory);

}  // namespace starling::storage::tool
