#include "storage/lsm/compaction_picker.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace starling::storage::lsm {

namespace {

constexpr double level_growth = 10;
constexpr uint32_t last_level = level_count - 1;

uint32_t first_level_with_tables(const Version& version) {
    uint32_t level = 1;
    while (level < last_level && version.level(level).empty()) {
        ++level;
    }
    return level;
}

}  // namespace

LevelShape::LevelShape(const Version& version, uint64_t level_bytes_base)
    : wanted_base_(last_level) {
    double bytes = 0;
    for (uint32_t level = 1; level < level_count; ++level) {
        bytes = std::max(bytes, static_cast<double>(version.level_bytes(level)));
    }
    const auto base_bytes_max = static_cast<double>(level_bytes_base);
    bytes_max_.fill(base_bytes_max / level_growth);
    bytes_max_[last_level] = std::numeric_limits<double>::infinity();
    while (bytes > base_bytes_max && wanted_base_ > 1) {
        bytes /= level_growth;
        bytes_max_[--wanted_base_] = bytes;
    }
    base_ = std::min(wanted_base_, first_level_with_tables(version));
}

double LevelShape::score(const Version& version, uint32_t level) const {
    const double score = static_cast<double>(version.level_bytes(level)) / bytes_max_[level];
    return level < wanted_base_ && score > 0 ? std::max(score, 1.0) : score;
}

Compaction compaction_of(const Version& version, uint32_t level, TableList upper) {
    const uint32_t output_level = level == 0 ? first_level_with_tables(version) : level + 1;
    return compaction_of(version, level, output_level, std::move(upper));
}

Compaction compaction_of(const Version& version,
                         uint32_t level,
                         uint32_t output_level,
                         TableList upper) {
    Compaction compaction;
    compaction.level = level;
    compaction.output_level = output_level;
    compaction.upper = std::move(upper);
    std::string_view first = compaction.upper.front()->smallest_user_key();
    std::string_view last = compaction.upper.front()->largest_user_key();
    for (const TablePtr& table : compaction.upper) {
        first = std::min(first, table->smallest_user_key());
        last = std::max(last, table->largest_user_key());
    }
    compaction.lower = version.overlapping(output_level, first, last);
    return compaction;
}

Compaction compaction_in_place(uint32_t level, TablePtr table) {
    Compaction compaction;
    compaction.level = level;
    compaction.output_level = level;
    compaction.upper = {std::move(table)};
    return compaction;
}

bool Compaction::is_move() const {
    if (output_level == level || !lower.empty() || !value_files_to_leave.empty()) {
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

CompactionPicker::CompactionPicker(const EngineOptions& options)
    : level_bytes_base_(options.level_bytes_base > 0
                            ? options.level_bytes_base
                            : std::max(4 * options.memory_bytes_max, options.table_bytes)),
      level_0_tables_compact_(options.level_0_tables_compact) {}

std::optional<Compaction> CompactionPicker::pick(const Version& version) const {
    const LevelShape shape(version, level_bytes_base_);
    uint32_t best = 0;
    double best_score = static_cast<double>(version.level(0).size()) / level_0_tables_compact_;
    for (uint32_t level = 1; level < last_level; ++level) {
        if (const double level_score = shape.score(version, level); level_score > best_score) {
            best = level;
            best_score = level_score;
        }
    }
    if (best_score < 1) {
        return std::nullopt;
    }
    const TableList& tables = version.level(best);
    if (best == 0) {
        return compaction_of(version, 0, shape.base(), tables);
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
