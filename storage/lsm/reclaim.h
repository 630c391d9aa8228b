#pragma once

// What can be given back although no level is too large: tables whose every entry has expired or
// was removed with its range, tables that hold both such entries and others, and, while nobody
// writes, tables of removals. Pure functions.
//
// 1. A table goes as a whole only if that shows no older entry: what a range removal hides is
// hidden
//    in all levels alike; what has expired may hide older entries in the levels below, so those
//    must not reach into its keys.
// 2. While a snapshot from before a range removal lives, that removal reclaims nothing.

#include <optional>
#include <string>
#include <vector>

#include "storage/lsm/compaction_picker.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

struct ReclaimState {
    // Ascending.
    std::vector<Sequence> snapshots;
    Expiry now = 0;
};

// Tables to remove as they are.
std::vector<VersionEdit::Removed> find_dead_tables(const Version& version,
                                                   const ReclaimState& state);
// The edit that removes them; empty: there are none.
VersionEdit removal_of_dead_tables(const Version& version, const ReclaimState& state);
// A compaction that rewrites tables with entries that a range removal hides; nullopt: there is
// none.
std::optional<Compaction> pick_range_compaction(const Version& version, const ReclaimState& state);
// Where the tables that come of `inputs` must not reach across: the bounds of the range removals
// that hide entries of them. So none of the new tables holds older entries of a removed range by
// its neighbours alone. Ascending.
std::vector<std::string> find_bounds(const Version& version, const Compaction& inputs);
// A compaction that moves values out of a value file of which half or more is garbage.
std::optional<Compaction> pick_value_compaction(const Version& version);
// A compaction of a table that is half removals or more, towards what they remove, or without them
// where nothing of it lies below. While a snapshot from before the last of them lives there is
// none.
std::optional<Compaction> pick_removal_compaction(const Version& version,
                                                  const ReclaimState& state);
// The range removals that no table holds older entries of.
std::vector<Sequence> find_finished_removals(const Version& version);

}  // namespace starling::storage::lsm
