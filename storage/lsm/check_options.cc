#include "storage/lsm/check_options.h"

#include <fmt/format.h>

#include "base/status_macros.h"

namespace starling::storage::lsm {

namespace {

// Smaller ones gain nothing: a pointer takes 28 bytes, and the value's record 8 more.
constexpr uint64_t separate_value_bytes_min = 48;

}  // namespace

absl::Status check_options(const EngineOptions& options) {
    const auto require = [](bool holds, std::string_view what) {
        return holds ? absl::OkStatus()
                     : absl::InvalidArgumentError(fmt::format("storage options: {}", what));
    };
    STARLING_RETURN_IF_ERROR(
        require(options.memory_bytes_max >= 16384, "memory_bytes_max must be at least 16384"));
    STARLING_RETURN_IF_ERROR(require(options.memtables_max >= 2 && options.memtables_max <= 64,
                                     "memtables_max must be between 2 and 64"));
    // A log file belongs to one memtable, and is read as a whole.
    STARLING_RETURN_IF_ERROR(
        require(options.memory_bytes_max / options.memtables_max <= (uint64_t{1} << 30),
                "memory_bytes_max must be at most 1 GiB for each of memtables_max"));
    STARLING_RETURN_IF_ERROR(require(options.separate_value_bytes == 0 ||
                                         options.separate_value_bytes >= separate_value_bytes_min,
                                     "separate_value_bytes must be 0 or at least 48"));
    STARLING_RETURN_IF_ERROR(require(options.level_bytes_base <= (uint64_t{1} << 40),
                                     "level_bytes_base must be at most 1 TiB"));
    STARLING_RETURN_IF_ERROR(
        require(options.block_bytes >= 64 && options.block_bytes <= (16u << 20),
                "block_bytes must be between 64 and 16 MiB"));
    STARLING_RETURN_IF_ERROR(
        require(options.table_bytes >= 1024, "table_bytes must be at least 1024"));
    STARLING_RETURN_IF_ERROR(
        require(options.level_bytes_base == 0 || options.level_bytes_base >= options.table_bytes,
                "level_bytes_base must be 0 or at least table_bytes"));
    STARLING_RETURN_IF_ERROR(require(
        options.level_0_tables_compact >= 1 &&
            options.level_0_tables_stall > options.level_0_tables_compact,
        "level_0_tables_stall must be above level_0_tables_compact, which must be positive"));
    STARLING_RETURN_IF_ERROR(
        require(options.filter_bits_per_key <= 64, "filter_bits_per_key must be at most 64"));
    return require(options.open_tables_max >= 1, "open_tables_max must be positive");
}

}  // namespace starling::storage::lsm
