#pragma once

// One step from a version to the next: a record of the manifest (docs/formats/manifest.md).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "storage/log/record_file.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/range_removals.h"
#include "storage/lsm/table_metadata.h"
#include "storage/lsm/value_file.h"

namespace starling::storage::lsm {

inline constexpr size_t level_count = 7;

struct VersionEdit {
    struct Removed {
        uint32_t level;
        uint64_t number;
    };
    struct Added {
        uint32_t level;
        TableMetadata table;
    };

    // All numbers below are taken.
    uint64_t next_file_number = 0;
    std::optional<LogStart> log;
    std::vector<Removed> removed;
    std::vector<Added> added;
    // They go by themselves with the last table that points into them.
    std::vector<ValueFileMetadata> value_files;
    // Range removals that the tables of this edit may hold entries of, and the sequences of those
    // that no table does any more.
    std::vector<RangeRemoval> range_removals;
    std::vector<Sequence> range_removals_gone;
    // What expired before this was dropped; no clock may show it again. 0: nothing was.
    Expiry expired_until = 0;
};

std::string encode_version_edit(const VersionEdit& edit);
// data_loss: not an edit.
absl::StatusOr<VersionEdit> decode_version_edit(std::string_view bytes);

}  // namespace starling::storage::lsm
