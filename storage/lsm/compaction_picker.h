#pragma once

// Chooses what to merge next: leveled compaction with levels sized from the last one upwards, so
// that all but the last hold a ninth of the data at most, and so does what is stale (Dong et al.,
// "Optimizing Space Amplification in RocksDB", CIDR 2017). A level's score is its size against what
// it may hold; the highest score of at least 1 wins. From level 0 all tables go at once, from
// others one at a time, in turns around the key space.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/lsm/version.h"
#include "storage/options.h"

namespace starling::storage::lsm {

struct Compaction {
    uint32_t level = 0;
    // Deeper than `level`, with nothing in between; or the same: the upper tables stay there,
    // without what nobody needs. REQUIRES: not level 0.
    uint32_t output_level = 0;
    // Of `level` and of the output level.
    TableList upper;
    TableList lower;
    // Values there are written anew, so that the files can go.
    std::vector<uint64_t> value_files_to_leave;

    // The upper tables can change their level without being rewritten.
    bool is_move() const;
    uint64_t input_bytes() const;
};

// Which sorted levels are in use, and what they may hold. The last level holds most of the data,
// each above it a tenth of the one below, and the first of them, the base, at most
// `level_bytes_base`: into it goes level 0. So a small database is one sorted level.
class LevelShape {
  public:
    LevelShape(const Version& version, uint64_t level_bytes_base);

    // Never deeper than a level that has tables.
    uint32_t base() const { return base_; }
    // A level of score 1 or more has something for the next one.
    double score(const Version& version, uint32_t level) const;

  private:
    uint32_t base_ = 0;
    // Levels before it should be empty.
    uint32_t wanted_base_ = 0;
    std::array<double, level_count> bytes_max_;
};

// Of `upper` with what it overlaps in the level below, or, from level 0, in the first level that
// has tables. REQUIRES: a table, and a level below.
Compaction compaction_of(const Version& version, uint32_t level, TableList upper);
// Of `upper` with what it overlaps in `output_level`.
Compaction compaction_of(const Version& version,
                         uint32_t level,
                         uint32_t output_level,
                         TableList upper);
// Of one table that stays in its level. REQUIRES: not level 0.
Compaction compaction_in_place(uint32_t level, TablePtr table);

// Not thread-safe.
class CompactionPicker {
  public:
    explicit CompactionPicker(const EngineOptions& options);

    // nullopt: every level is within its bounds.
    std::optional<Compaction> pick(const Version& version) const;
    // The next pick in this level goes on behind it.
    void done(const Compaction& compaction);

  private:
    const uint64_t level_bytes_base_;
    const uint32_t level_0_tables_compact_;
    // The largest user key that was compacted last, per level; empty: begin at the front.
    std::array<std::string, level_count> cursors_;
};

}  // namespace starling::storage::lsm
