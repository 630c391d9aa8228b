#include "storage/lsm/reclaim.h"

#include <algorithm>

namespace starling::storage::lsm {

namespace {

bool holds_older(const TableMetadata& table, const RangeRemoval& removal) {
    return table.smallest_sequence < removal.sequence &&
           removal.overlaps(table.smallest_user_key(), table.largest_user_key());
}

bool is_pinned(const RangeRemoval& removal, const ReclaimState& state) {
    return !state.snapshots.empty() && state.snapshots.front() < removal.sequence;
}

bool is_removed_with_its_range(const Version& version,
                               const TableMetadata& table,
                               const ReclaimState& state) {
    const auto& removals = version.range_removals().list();
    return std::any_of(removals.begin(), removals.end(), [&](const RangeRemoval& removal) {
        return table.largest_sequence < removal.sequence && !is_pinned(removal, state) &&
               removal.covers_all(table.smallest_user_key(), table.largest_user_key());
    });
}

bool older_tables_overlap(const Version& version, uint32_t level, const TableMetadata& table) {
    for (uint32_t below = level; below < level_count; ++below) {
        for (const TablePtr& other : version.level(below)) {
            const bool older = below > level || other->number < table.number;
            if (older && other->number != table.number &&
                other->overlaps(table.smallest_user_key(), table.largest_user_key())) {
                return true;
            }
        }
    }
    return false;
}

bool has_older_below(const Version& version, uint32_t level, const TableMetadata& table) {
    for (uint32_t below = level + 1; below < level_count; ++below) {
        if (!version.overlapping(below, table.smallest_user_key(), table.largest_user_key())
                 .empty()) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::vector<VersionEdit::Removed> find_dead_tables(const Version& version,
                                                   const ReclaimState& state) {
    std::vector<VersionEdit::Removed> dead;
    for (uint32_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            const bool expired = table->latest_expiry != never && table->latest_expiry <= state.now;
            if ((expired && !older_tables_overlap(version, level, *table)) ||
                is_removed_with_its_range(version, *table, state)) {
                dead.push_back({.level = level, .number = table->number});
            }
        }
    }
    return dead;
}

VersionEdit removal_of_dead_tables(const Version& version, const ReclaimState& state) {
    VersionEdit edit;
    edit.removed = find_dead_tables(version, state);
    for (const VersionEdit::Removed& removed : edit.removed) {
        const TableList& tables = version.level(removed.level);
        const auto table = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& found) {
            return found->number == removed.number;
        });
        if ((*table)->latest_expiry <= state.now) {
            edit.expired_until = std::max(edit.expired_until, (*table)->latest_expiry);
        }
    }
    return edit;
}

std::optional<Compaction> pick_range_compaction(const Version& version, const ReclaimState& state) {
    for (const RangeRemoval& removal : version.range_removals().list()) {
        if (is_pinned(removal, state)) {
            continue;
        }
        for (uint32_t level = 0; level < level_count; ++level) {
            const TableList& tables = version.level(level);
            const auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& found) {
                return holds_older(*found, removal);
            });
            if (table == tables.end()) {
                continue;
            }
            if (level == 0) {
                // A table of level 0 that is written anew would count as the newest of them.
                return compaction_of(version, 0, tables);
            }
            return compaction_in_place(level, *table);
        }
    }
    return std::nullopt;
}

std::vector<std::string> find_bounds(const Version& version, const Compaction& inputs) {
    std::vector<std::string> bounds;
    for (const RangeRemoval& removal : version.range_removals().list()) {
        const auto hides = [&](const TablePtr& table) { return holds_older(*table, removal); };
        if (std::any_of(inputs.upper.begin(), inputs.upper.end(), hides) ||
            std::any_of(inputs.lower.begin(), inputs.lower.end(), hides)) {
            bounds.push_back(removal.begin);
            if (!removal.end.empty()) {
                bounds.push_back(removal.end);
            }
        }
    }
    std::sort(bounds.begin(), bounds.end());
    return bounds;
}

std::optional<Compaction> pick_value_compaction(const Version& version) {
    for (const Version::ValueFile& file : version.value_files()) {
        if (file.live_bytes * 2 > file.file_bytes - value_file_header_bytes) {
            continue;
        }
        for (uint32_t level = 0; level < level_count; ++level) {
            const TableList& tables = version.level(level);
            const auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& found) {
                const auto& references = found->value_references;
                return std::any_of(
                    references.begin(), references.end(), [&](const auto& reference) {
                        return reference.file == file.number;
                    });
            });
            if (table == tables.end()) {
                continue;
            }
            Compaction compaction =
                level == 0 ? compaction_of(version, 0, tables) : compaction_in_place(level, *table);
            compaction.value_files_to_leave = {file.number};
            return compaction;
        }
    }
    return std::nullopt;
}

std::optional<Compaction> pick_removal_compaction(const Version& version,
                                                  const ReclaimState& state) {
    for (uint32_t level = 0; level < level_count; ++level) {
        const TableList& tables = version.level(level);
        const auto found = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& table) {
            const bool is_seen_by_all =
                state.snapshots.empty() || state.snapshots.front() >= table->largest_sequence;
            return is_seen_by_all && table->removal_count > 0 &&
                   table->removal_count >= table->entry_count / 2;
        });
        if (found == tables.end()) continue;
        if (level == 0) return compaction_of(version, 0, tables);
        return has_older_below(version, level, **found) ? compaction_of(version, level, {*found})
                                                        : compaction_in_place(level, *found);
    }
    return std::nullopt;
}

std::vector<Sequence> find_finished_removals(const Version& version) {
    std::vector<Sequence> finished;
    for (const RangeRemoval& removal : version.range_removals().list()) {
        bool needed = false;
        for (uint32_t level = 0; level < level_count && !needed; ++level) {
            const TableList& tables = version.level(level);
            needed = std::any_of(tables.begin(), tables.end(), [&](const TablePtr& table) {
                return holds_older(*table, removal);
            });
        }
        if (!needed) {
            finished.push_back(removal.sequence);
        }
    }
    return finished;
}

}  // namespace starling::storage::lsm
