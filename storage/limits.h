#pragma once

// What an engine accepts. The limits lie above those of the public API, since callers put prefixes
// before keys and headers before values.

#include <cstdint>

#include "absl/status/status.h"

#include "storage/engine.h"

namespace starling::storage {

inline constexpr size_t engine_key_bytes_max = 1u << 20;
inline constexpr size_t engine_value_bytes_max = 256u << 20;
// A batch is one record of the log, whose length field has 32 bits.
inline constexpr size_t engine_batch_bytes_max = 512u << 20;

// Each may hide entries of any table, so reads and compactions look at all of them.
inline constexpr size_t engine_range_removals_max = 256;

static_assert(engine_key_bytes_max + engine_value_bytes_max + 64 < engine_batch_bytes_max);

// invalid_argument when `batch` exceeds a limit.
absl::Status check_batch(const WriteBatch& batch);

}  // namespace starling::storage
