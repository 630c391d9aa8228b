#include "storage/lsm/version.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/status_macros.h"

namespace starling::storage::lsm {

namespace {

// The first table whose last key is not before `user_key`.
auto first_reaching(std::span<const TablePtr> tables, std::string_view user_key) {
    return std::lower_bound(
        tables.begin(), tables.end(), user_key, [](const TablePtr& table, std::string_view key) {
            return table->largest_user_key() < key;
        });
}

// Of tables, by their index.
struct LastKeys {
    const TableList& tables;
    std::string_view operator()(size_t index) const { return tables[index]->largest_user_key(); }
};

// By the table's index; a table that cannot be opened counts as half.
uint64_t bytes_between(TableCache& tables,
                       const TableMetadata& metadata,
                       std::string_view begin,
                       std::string_view end) {
    const auto table = tables.find(metadata, ReadMode::cached);
    if (!table.ok()) {
        return metadata.file_bytes / 2;
    }
    const uint64_t from = (*table)->approximate_offset(begin);
    const uint64_t to = end.empty() ? metadata.file_bytes : (*table)->approximate_offset(end);
    return to > from ? to - from : 0;
}

bool is_sorted_and_disjoint(const TableList& tables) {
    for (size_t i = 1; i < tables.size(); ++i) {
        if (tables[i - 1]->largest_user_key() >= tables[i]->smallest_user_key()) {
            return false;
        }
    }
    return true;
}

}  // namespace

uint64_t Version::level_bytes(size_t level) const {
    uint64_t bytes = 0;
    for (const TablePtr& table : levels_[level]) {
        bytes += table->file_bytes;
    }
    return bytes;
}

uint64_t Version::table_bytes() const {
    uint64_t bytes = 0;
    for (size_t level = 0; level < level_count; ++level) {
        bytes += level_bytes(level);
    }
    return bytes;
}

absl::StatusOr<std::shared_ptr<const Version>> Version::apply(const VersionEdit& edit) const {
    auto next = std::make_shared<Version>(*this);
    for (const VersionEdit::Removed& removed : edit.removed) {
        TableList& tables = next->levels_[removed.level];
        const auto found = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& table) {
            return table->number == removed.number;
        });
        if (found == tables.end()) {
            return absl::DataLossError(
                fmt::format("table {} of level {} is removed but was not there",
                            removed.number,
                            removed.level));
        }
        tables.erase(found);
    }
    for (const VersionEdit::Added& added : edit.added) {
        if (next->names_file(FileKind::table, added.table.number)) {
            return absl::DataLossError(
                fmt::format("table {} is added but was there", added.table.number));
        }
        next->levels_[added.level].push_back(std::make_shared<TableMetadata>(added.table));
    }
    std::sort(next->levels_[0].begin(),
              next->levels_[0].end(),
              [](const TablePtr& a, const TablePtr& b) { return a->number > b->number; });
    for (size_t level = 1; level < level_count; ++level) {
        TableList& tables = next->levels_[level];
        std::sort(tables.begin(), tables.end(), [](const TablePtr& a, const TablePtr& b) {
            return compare_internal(a->smallest, b->smallest) < 0;
        });
        if (!is_sorted_and_disjoint(tables)) {
            return absl::DataLossError(fmt::format("tables of level {} overlap", level));
        }
        next->last_keys_[level] = KeyFences(tables.size(), LastKeys{tables});
    }
    STARLING_RETURN_IF_ERROR(next->count_value_files(edit));
    if (!edit.range_removals.empty() || !edit.range_removals_gone.empty()) {
        std::vector<RangeRemoval> removals = range_removals_->list();
        removals.insert(removals.end(), edit.range_removals.begin(), edit.range_removals.end());
        for (const Sequence gone : edit.range_removals_gone) {
            std::erase_if(removals,
                          [gone](const auto& removal) { return removal.sequence == gone; });
        }
        next->range_removals_ = std::make_shared<RangeRemovals>(std::move(removals));
    }
    next->expired_until_ = std::max(expired_until_, edit.expired_until);
    return next;
}

absl::Status Version::count_value_files(const VersionEdit& edit) {
    if (value_files_.empty() && edit.value_files.empty()) {
        return absl::OkStatus();
    }
    for (const ValueFileMetadata& file : edit.value_files) {
        if (names_file(FileKind::value_file, file.number)) {
            return absl::DataLossError(
                fmt::format("value file {} is added but was there", file.number));
        }
        value_files_.push_back(
            {.number = file.number, .file_bytes = file.file_bytes, .live_bytes = 0});
    }
    std::sort(value_files_.begin(), value_files_.end(), [](const auto& a, const auto& b) {
        return a.number < b.number;
    });
    for (ValueFile& file : value_files_) {
        file.live_bytes = 0;
    }
    for (const TableList& tables : levels_) {
        for (const TablePtr& table : tables) {
            for (const TableMetadata::ValueReference& reference : table->value_references) {
                const auto file = std::lower_bound(
                    value_files_.begin(),
                    value_files_.end(),
                    reference.file,
                    [](const ValueFile& found, uint64_t number) { return found.number < number; });
                if (file == value_files_.end() || file->number != reference.file) {
                    return absl::DataLossError(
                        fmt::format("table {} points into value file {}, which is not there",
                                    table->number,
                                    reference.file));
                }
                file->live_bytes += reference.bytes;
            }
        }
    }
    std::erase_if(value_files_, [](const ValueFile& file) { return file.live_bytes == 0; });
    return absl::OkStatus();
}

bool Version::names_file(FileKind kind, uint64_t number) const {
    if (kind == FileKind::value_file) {
        return std::any_of(value_files_.begin(), value_files_.end(), [&](const ValueFile& file) {
            return file.number == number;
        });
    }
    return kind == FileKind::table &&
           std::any_of(levels_.begin(), levels_.end(), [&](const TableList& tables) {
               return std::any_of(tables.begin(), tables.end(), [&](const TablePtr& table) {
                   return table->number == number;
               });
           });
}

void Version::describe(VersionEdit& edit) const {
    for (uint32_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : levels_[level]) {
            edit.added.push_back({.level = level, .table = *table});
        }
    }
    for (const ValueFile& file : value_files_) {
        edit.value_files.push_back({.number = file.number, .file_bytes = file.file_bytes});
    }
    edit.range_removals = range_removals_->list();
    edit.expired_until = expired_until_;
}

absl::StatusOr<bool> Version::get(TableCache& tables,
                                  const LookupKey& key,
                                  ReadMode mode,
                                  FoundEntry& found) const {
    const std::string_view user_key = key.user_key;
    for (const TablePtr& table : levels_[0]) {
        if (table->covers(user_key)) {
            STARLING_ASSIGN_OR_RETURN(const bool present, tables.get(*table, key, mode, found));
            if (present) {
                return true;
            }
        }
    }
    for (size_t level = 1; level < level_count; ++level) {
        if (const TableMetadata* const table = table_of(level, user_key)) {
            STARLING_ASSIGN_OR_RETURN(const bool present, tables.get(*table, key, mode, found));
            if (present) {
                return true;
            }
        }
    }
    return false;
}

uint64_t Version::approximate_bytes(TableCache& tables,
                                    std::string_view begin,
                                    std::string_view end) const {
    uint64_t bytes = 0;
    for (const TableList& level : levels_) {
        for (const TablePtr& table : level) {
            const std::string_view first = table->smallest_user_key();
            const std::string_view last = table->largest_user_key();
            if (last < begin || (!end.empty() && first >= end)) {
                continue;
            }
            const bool whole = first >= begin && (end.empty() || last < end);
            for (const auto& reference : table->value_references) {
                bytes += whole ? reference.bytes : reference.bytes / 2;
            }
            bytes += whole ? table->file_bytes : bytes_between(tables, *table, begin, end);
        }
    }
    return bytes;
}

const TableMetadata* Version::table_of(size_t level, std::string_view user_key) const {
    const TableList& tables = levels_[level];
    const size_t index = last_keys_[level].find(user_key, LastKeys{tables});
    if (index == tables.size() || user_key < tables[index]->smallest_user_key()) {
        return nullptr;
    }
    return tables[index].get();
}

bool Version::covers(size_t level, std::string_view user_key) const {
    return table_of(level, user_key) != nullptr;
}

TableList Version::overlapping(size_t level, std::string_view first, std::string_view last) const {
    TableList result;
    for (const TablePtr& table : levels_[level]) {
        if (table->overlaps(first, last)) {
            result.push_back(table);
        }
    }
    return result;
}

// Stands in one table at a time.
class LevelIterator final : public InternalIterator {
  public:
    LevelIterator(TableCache& cache,
                  std::span<const TablePtr> tables,
                  ReadMode mode,
                  ReadTally* tally,
                  size_t piece_bytes,
                  std::string_view upper)
        : cache_(cache),
          tables_(tables),
          mode_(mode),
          piece_bytes_(piece_bytes),
          upper_(upper),
          entries_(mode, tally, std::string(upper)) {}

    bool valid() const override { return valid_; }
    void seek_to_first() override {
        passed_over_ = absl::OkStatus();
        if (enter_next(0)) {
            entries_.seek_to_first();
            skip_forward();
        }
    }
    void seek_to_last() override {
        if (!passed_over_.ok()) {
            // What was passed over on the way forward is not behind this one.
            status_ = passed_over_;
            return;
        }
        if (enter(tables_.size() - 1)) {
            entries_.seek_to_last();
            skip_backward();
        }
    }
    void seek(std::string_view internal_key) override {
        passed_over_ = absl::OkStatus();
        const auto table = first_reaching(tables_, user_key_of(internal_key));
        if (enter_next(static_cast<size_t>(table - tables_.begin()))) {
            entries_.seek(internal_key);
            skip_forward();
        }
    }
    void next() override {
        entries_.next();
        if (!entries_.valid()) [[unlikely]] {
            skip_forward();
        }
    }
    bool step(std::string_view& new_key) override {
        next();
        new_key = entries_.key();
        return valid_;
    }
    void previous() override {
        entries_.previous();
        if (!entries_.valid()) [[unlikely]] {
            skip_backward();
        }
    }
    bool step_back(std::string_view& new_key) override {
        previous();
        new_key = entries_.key();
        return valid_;
    }
    std::string_view key() const override { return entries_.key(); }
    std::string_view value() const override { return entries_.value(); }
    absl::Status status() const override { return status_; }

  private:
    // An index beyond the ends (also by wrapping around) leaves no table.
    bool enter(size_t index) {
        status_ = absl::OkStatus();
        valid_ = false;
        if (index >= tables_.size()) {
            return false;
        }
        if (index != index_) {
            status_ = open(*tables_[index]);
            index_ = status_.ok() ? index : no_table;
        }
        return status_.ok();
    }
    // As enter(), on the way forward.
    bool enter_next(size_t index) {
        if (enter(index)) {
            return true;
        }
        if (lies_behind(index)) {
            passed_over_ = std::exchange(status_, absl::OkStatus());
        }
        return false;
    }

    absl::Status open(const TableMetadata& metadata) {
        STARLING_ASSIGN_OR_RETURN(auto table, cache_.find(metadata, mode_));
        std::unique_ptr<env::RandomAccessFile> file;
        if (piece_bytes_ > 0) {
            file = cache_.open_for_pass(metadata, piece_bytes_);
        }
        entries_.reset(std::move(table), std::move(file));
        return absl::OkStatus();
    }

    // Whether the table ended without error, so that its neighbour comes next.
    bool ended() {
        valid_ = entries_.valid();
        if (valid_) {
            return false;
        }
        status_ = entries_.status();
        return status_.ok();
    }
    void skip_forward() {
        while (ended()) {
            // All that comes behind it lies behind the end, too.
            passed_over_ = entries_.passed_over();
            if (!passed_over_.ok() || !enter_next(index_ + 1)) {
                return;
            }
            entries_.seek_to_first();
        }
        if (!valid_ && !status_.ok() && lies_behind(index_)) {
            passed_over_ = std::exchange(status_, absl::OkStatus());
        }
    }
    bool lies_behind(size_t index) const {
        return index < tables_.size() && !upper_.empty() &&
               user_key_of(tables_[index]->smallest) >= upper_;
    }
    void skip_backward() {
        while (ended() && enter(index_ - 1)) {
            entries_.seek_to_last();
        }
    }

    static constexpr size_t no_table = SIZE_MAX;

    TableCache& cache_;
    const std::span<const TablePtr> tables_;
    const ReadMode mode_;
    const size_t piece_bytes_;
    // See TableIterator.
    const std::string upper_;
    // The table that entries_ reads.
    size_t index_ = no_table;
    TableIterator entries_;
    bool valid_ = false;
    absl::Status status_;
    absl::Status passed_over_;
};

std::unique_ptr<InternalIterator> new_level_iterator(TableCache& cache,
                                                     std::span<const TablePtr> tables,
                                                     std::string_view upper) {
    return std::make_unique<LevelIterator>(cache, tables, ReadMode::cached, nullptr, 0, upper);
}

std::unique_ptr<InternalIterator> new_pass_iterator(TableCache& cache,
                                                    std::span<const TablePtr> tables,
                                                    ReadTally& tally,
                                                    size_t piece_bytes) {
    return std::make_unique<LevelIterator>(cache, tables, ReadMode::once, &tally, piece_bytes, "");
}

void Version::add_iterators(TableCache& tables,
                            std::string_view upper,
                            std::vector<std::unique_ptr<InternalIterator>>& iterators) const {
    const std::span<const TablePtr> newest(levels_[0]);
    for (size_t i = 0; i < newest.size(); ++i) {
        iterators.push_back(new_level_iterator(tables, newest.subspan(i, 1), upper));
    }
    for (size_t level = 1; level < level_count; ++level) {
        if (!levels_[level].empty()) {
            iterators.push_back(new_level_iterator(tables, levels_[level], upper));
        }
    }
}

}  // namespace starling::storage::lsm
