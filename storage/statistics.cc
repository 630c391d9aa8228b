#include "storage/statistics.h"

#include <chrono>

#include <fmt/format.h>

namespace starling::storage {

std::vector<NamedFigure> named_figures(const EngineStatistics& statistics) {
    const auto stall =
        std::chrono::duration_cast<std::chrono::microseconds>(statistics.stall_time).count();
    std::vector<NamedFigure> figures = {
        {"memory_bytes", statistics.memory_bytes},
        {"disk_bytes", statistics.disk_bytes},
        {"log_bytes", statistics.log_bytes},
        {"flushes", statistics.flushes},
        {"compactions", statistics.compactions},
        {"syncs", statistics.syncs},
        {"block_cache_hits", statistics.block_cache_hits},
        {"block_cache_misses", statistics.block_cache_misses},
        {"user_written_bytes", statistics.user_written_bytes},
        {"disk_written_bytes", statistics.disk_written_bytes},
        {"table_reads", statistics.table_reads},
        {"table_blocks_read", statistics.table_blocks_read},
        {"filter_hits", statistics.filter_hits},
        {"filter_misses", statistics.filter_misses},
        {"live_bytes", statistics.live_bytes},
        {"value_file_bytes", statistics.value_file_bytes},
        {"value_file_garbage_bytes", statistics.value_file_garbage_bytes},
        {"stalls", statistics.stalls},
        {"stall_time_us", static_cast<uint64_t>(stall)},
        {"snapshots", statistics.snapshots},
        {"iterators", statistics.iterators},
    };
    for (size_t i = 0; i < statistics.levels.size(); ++i) {
        const LevelStatistics& level = statistics.levels[i];
        figures.push_back({fmt::format("level_{}_tables", i), level.tables});
        figures.push_back({fmt::format("level_{}_bytes", i), level.bytes});
        figures.push_back({fmt::format("level_{}_read_bytes", i), level.read_bytes});
        figures.push_back({fmt::format("level_{}_written_bytes", i), level.written_bytes});
    }
    return figures;
}

}  // namespace starling::storage
