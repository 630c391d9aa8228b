#pragma once

// Tables of what was measured.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/engine_bench/rows.h"

namespace starling::bench {

struct Measured {
    Row row;
    size_t value_bytes = 0;
    // Of cold rows: what the disk gives at that depth.
    std::optional<double> device_per_second;
    // Medians, by engine.
    std::map<std::string, RowResult> engines;
};

// The median of each figure.
RowResult median_of(const std::vector<RowResult>& rounds);

// Figures of each engine, and those of ours as a ratio to the better peer, with RocksDB both as it
// is and as a better built one would be. More than 1 is better, p99 included.
void print_table(const std::vector<Measured>& rows, const std::vector<std::string>& engines);
void write_json(const std::string& path, const std::vector<Measured>& rows);

}  // namespace starling::bench
