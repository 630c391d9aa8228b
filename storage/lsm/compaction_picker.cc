#include "storage/lsm/compaction_picker.h"

#include <algorithm>
#include <utility>

namespace starling::storage::lsm {

namespace {

constexpr uint64_t level_growth = 10;

}  // namespace

Compaction compaction_of(const Version& version, uint32_t level, TableList upper) {
    Compaction compaction;
    compaction.level = level;
    compaction.upper = std::move(upper);
    std::string_view first = compaction.upper.front()->smallest_user_key();
    std::string_view last = compaction.upper.front()->largest_user_key();
    for (const TablePtr& table : compaction.upper) {
        first = std::min(first, table->smallest_user_key());
        last = std::max(last, table->largest_user_key());
    }
    compaction.lower = version.overlapping(compaction.output_level(), first, last);
    return compaction;
}

bool Compaction::is_move() const {
    if (in_place || !lower.empty() || !value_files_to_leave.empty()) {
        return false;
    }
    // Those of level 0 come from flushes, which of keys in ascending order do not overlap.
    TableList sorted = upper;
    std::sort(sorted.begin(), sorted.end(), [](const TablePtr& a, const TablePtr& b) {
        return a->smallest_user_key() < b->smallest_user_key();
    });
    return (level == 0 || upper.size() == 1) &&
           std::adjacent_find(
               sorted.begin(), sorted.end(), [](const TablePtr& a, const TablePtr& b) {
                   return a->largest_user_key() >= b->smallest_user_key();
               }) == sorted.end();
}

uint64_t Compaction::input_bytes() const {
    uint64_t bytes = 0;
    for (const TableList* tables : {&upper, &lower}) {
        for (const TablePtr& table : *tables) {
            bytes += table->file_bytes;
        }
    }
    return bytes;
}

uint64_t CompactionPicker::level_bytes_max(uint32_t level) const {
    uint64_t bytes = options_.level_bytes_base;
    for (uint32_t i = 1; i < level; ++i) {
        bytes *= level_growth;
    }
    return bytes;
}

double CompactionPicker::score(const Version& version, uint32_t level) const {
    if (level == 0) {
        return static_cast<double>(version.level(0).size()) / options_.level_0_tables_compact;
    }
    return static_cast<double>(version.level_bytes(level)) /
           static_cast<double>(level_bytes_max(level));
}

std::optional<Compaction> CompactionPicker::pick(const Version& version) const {
    uint32_t best = 0;
    double best_score = score(version, 0);
    // The last level has nowhere to go.
    for (uint32_t level = 1; level + 1 < level_count; ++level) {
        if (const double level_score = score(version, level); level_score > best_score) {
            best = level;
            best_score = level_score;
        }
    }
    if (best_score < 1) {
        return std::nullopt;
    }
    const TableList& tables = version.level(best);
    if (best == 0) {
        return compaction_of(version, 0, tables);
    }
    const auto next = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& table) {
        return table->smallest_user_key() > cursors_[best];
    });
    return compaction_of(version, best, {next == tables.end() ? tables.front() : *next});
}

void CompactionPicker::done(const Compaction& compaction) {
    cursors_[compaction.level] = compaction.upper.back()->largest_user_key();
}

}  // namespace starling::storage::lsm
