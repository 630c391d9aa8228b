#pragma once

// Chooses what to merge next: leveled compaction. A level's score is its size against what it may
// hold; the highest score of at least 1 wins. From level 0 all tables go at once, from others one
// at a time, in turns around the key space. Not thread-safe.

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
    // Of `level` and of the level below it.
    TableList upper;
    TableList lower;
    // The upper tables stay in their level, without what nobody needs. REQUIRES: level > 0.
    bool in_place = false;
    // Values there are written anew, so that the files can go.
    std::vector<uint64_t> value_files_to_leave;

    uint32_t output_level() const { return in_place ? level : level + 1; }
    // The upper tables can change their level without being rewritten.
    bool is_move() const;
    uint64_t input_bytes() const;
};

// Of `upper` with what it overlaps in the level below. REQUIRES: a table, and a level below.
Compaction compaction_of(const Version& version, uint32_t level, TableList upper);

class CompactionPicker {
  public:
    explicit CompactionPicker(const EngineOptions& options) : options_(options) {}

    // nullopt: every level is within its bounds.
    std::optional<Compaction> pick(const Version& version) const;
    // The next pick in this level goes on behind it.
    void done(const Compaction& compaction);

  private:
    double score(const Version& version, uint32_t level) const;
    uint64_t level_bytes_max(uint32_t level) const;

    const EngineOptions options_;
    // The largest user key that was compacted last, per level; empty: begin at the front.
    std::array<std::string, level_count> cursors_;
};

}  // namespace starling::storage::lsm
