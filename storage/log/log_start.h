#pragma once

#include <cstdint>
#include <string>

#include "storage/log/record_file.h"

namespace starling::storage {

// Counts changes. 0 is before the first.
using Sequence = uint64_t;
inline constexpr Sequence sequence_max = (uint64_t{1} << 56) - 1;

// What the files of a log are called, and which kind their headers name.
struct LogNaming {
    RecordFileKind kind;
    std::string (*path)(const std::string& directory, uint64_t number);
};

// Where the log begins that holds what other files do not.
struct LogStart {
    // The file exists, and its directory entry is durable, before a manifest says so.
    uint64_t number = 0;
    LogPosition position = 0;
    // The last change that those hold; the log goes on with the next.
    Sequence flushed = 0;

    friend bool operator==(const LogStart&, const LogStart&) = default;
};

}  // namespace starling::storage
