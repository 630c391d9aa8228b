#include "storage/lsm/damage.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/key_ranges.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

constexpr size_t value_files_open_max = 4;

// What an entry must be for the rest to be looked at.
enum class EntryShape : uint8_t { plain, separate, malformed };

EntryShape shape_of(std::string_view internal_key, std::string_view stored) {
    const ChangeKind kind = kind_of_tag(tag_of(internal_key));
    if (kind == ChangeKind::put || kind == ChangeKind::remove) [[likely]] {
        return EntryShape::plain;
    }
    const auto view = view_value(kind, stored);
    if (!view.has_value()) {
        return EntryShape::malformed;
    }
    return view->is_separate ? EntryShape::separate : EntryShape::plain;
}

}  // namespace

std::vector<KeyRange> Damage::ranges() const {
    std::vector<KeyRange> ranges;
    ranges.reserve(parts_.size());
    for (const Part& part : parts_) {
        ranges.push_back(part.keys);
    }
    return united(std::move(ranges));
}

absl::Status Damage::check_within(std::span<const KeyRange> ranges) const {
    const std::vector<KeyRange> given = united({ranges.begin(), ranges.end()});
    for (const Part& part : parts_) {
        if (!covers(given, part.keys)) {
            STARLING_MARK(damage_beyond_what_is_given_up);
            return part.error;
        }
    }
    return absl::OkStatus();
}

bool Damage::takes_entry(std::string_view internal_key, std::string_view stored) const {
    switch (shape_of(internal_key, stored)) {
        case EntryShape::plain:
            return false;
        case EntryShape::malformed:
            return true;
        case EntryShape::separate:
            break;
    }
    const auto pointer = decode_value_pointer(stored);
    return lost_values_.contains({pointer->file, pointer->offset});
}

void Damage::lose_table(const TableMetadata& table, absl::Status error) {
    tables_.insert(table.number);
    lost_tables_.insert(table.number);
    parts_.push_back({.keys = {.first = std::string(table.smallest_user_key()),
                               .last = std::string(table.largest_user_key())},
                      .error = std::move(error)});
}

void Damage::lose_block(const TableMetadata& table,
                        uint64_t offset,
                        KeyRange keys,
                        absl::Status error) {
    tables_.insert(table.number);
    lost_blocks_.insert({table.number, offset});
    parts_.push_back({.keys = std::move(keys), .error = std::move(error)});
}

void Damage::lose_entry(const TableMetadata& table,
                        std::string_view user_key,
                        const std::optional<ValuePointer>& pointer,
                        absl::Status error) {
    tables_.insert(table.number);
    if (pointer.has_value()) {
        lost_values_.insert({pointer->file, pointer->offset});
    }
    parts_.push_back({.keys = {.first = std::string(user_key), .last = std::string(user_key)},
                      .error = std::move(error)});
}

DamageSearch::DamageSearch(env::FileSystem& files,
                           const std::string& directory,
                           TableCache& tables,
                           const Version& version,
                           absl::FunctionRef<bool()> should_stop)
    : files_(files),
      directory_(directory),
      tables_(tables),
      version_(version),
      should_stop_(should_stop),
      values_(files, directory, value_files_open_max) {}

absl::StatusOr<std::shared_ptr<const Table>> DamageSearch::open(const TableMetadata& table) {
    STARLING_RETURN_IF_ERROR(admit_read());
    auto opened = tables_.open_anew(table);
    if (absl::IsDataLoss(opened.status())) {
        STARLING_MARK(damage_takes_a_table);
        damage_.lose_table(table, opened.status());
        return nullptr;
    }
    return opened;
}

absl::StatusOr<uint64_t> DamageSearch::check_block(const TableMetadata& table,
                                                   const Table& opened,
                                                   size_t index) {
    STARLING_RETURN_IF_ERROR(admit_read());
    const auto block = opened.read_from_file(index);
    if (absl::IsDataLoss(block.status())) {
        STARLING_MARK(damage_takes_a_block);
        const std::string_view last = user_key_of(opened.last_key(index));
        std::string_view first =
            user_key_of(index == 0 ? std::string_view(table.smallest) : opened.last_key(index - 1));
        if (tables_.kinds_apart()) first = std::max(first, last.substr(0, 1));
        damage_.lose_block(table,
                           opened.block_offset(index),
                           {.first = std::string(first), .last = std::string(last)},
                           block.status());
        return opened.block_bytes(index);
    }
    STARLING_RETURN_IF_ERROR(block.status());
    STARLING_ASSIGN_OR_RETURN(const uint64_t value_bytes, check_entries(table, *block));
    return opened.block_bytes(index) + value_bytes;
}

absl::StatusOr<uint64_t> DamageSearch::check_entries(const TableMetadata& table,
                                                     const BlockPtr& block) {
    uint64_t bytes = 0;
    // What follows is looked at all the same.
    absl::Status error;
    BlockIterator entry(block);
    for (entry.seek_to_first(); entry.valid(); entry.next()) {
        const EntryShape shape = shape_of(entry.key(), entry.value());
        if (shape == EntryShape::plain) {
            continue;
        }
        std::optional<ValuePointer> pointer;
        absl::Status status;
        if (shape == EntryShape::separate) {
            pointer = decode_value_pointer(entry.value());
            status = check_value(*pointer);
            bytes += pointer->record_bytes();
        } else {
            status = absl::DataLossError(fmt::format("{}: a value is not what its kind says",
                                                     table_path(directory_, table.number)));
        }
        if (absl::IsDataLoss(status)) {
            STARLING_MARK(damage_takes_a_value);
            damage_.lose_entry(table, user_key_of(entry.key()), pointer, std::move(status));
            continue;
        }
        error.Update(status);
        if (absl::IsCancelled(status)) {
            break;
        }
    }
    STARLING_RETURN_IF_ERROR(error);
    return bytes;
}

absl::Status DamageSearch::check_value(const ValuePointer& pointer) {
    STARLING_RETURN_IF_ERROR(check_value_file(pointer.file));
    STARLING_RETURN_IF_ERROR(admit_read());
    return values_.read(pointer).status();
}

absl::Status DamageSearch::check_value_file(uint64_t number) {
    const auto known = value_files_.find(number);
    if (known != value_files_.end()) {
        return known->second;
    }
    const std::string path = value_file_path(directory_, number);
    const auto size = files_.file_size(path);
    absl::Status misfit;
    if (absl::IsNotFound(size.status())) {
        misfit = missing_file(path);
    } else {
        STARLING_RETURN_IF_ERROR(size.status());
        const auto& files = version_.value_files();
        const auto file = std::find_if(files.begin(), files.end(), [number](const auto& each) {
            return each.number == number;
        });
        if (file != files.end() && *size != file->file_bytes) {
            misfit = wrong_size(path, *size, file->file_bytes);
        }
    }
    return value_files_.emplace(number, std::move(misfit)).first->second;
}

absl::Status DamageSearch::admit_read() const {
    return should_stop_() ? absl::CancelledError("the engine is closing") : absl::OkStatus();
}

absl::StatusOr<Damage> find_damage(env::FileSystem& files,
                                   const std::string& directory,
                                   TableCache& tables,
                                   const Version& version,
                                   absl::FunctionRef<bool()> should_stop) {
    DamageSearch search(files, directory, tables, version, should_stop);
    for (size_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            STARLING_ASSIGN_OR_RETURN(const auto opened, search.open(*table));
            const size_t blocks = opened == nullptr ? 0 : opened->block_count();
            for (size_t index = 0; index < blocks; ++index) {
                STARLING_RETURN_IF_ERROR(search.check_block(*table, *opened, index).status());
            }
        }
    }
    return search.take();
}

std::optional<Compaction> pick_repair(const Version& version, const Damage& damage) {
    for (uint32_t level = 0; level < level_count; ++level) {
        const TableList& tables = version.level(level);
        const auto table = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& found) {
            return damage.meets(*found);
        });
        if (table != tables.end()) {
            // A table of level 0 that is written anew would count as the newest of them.
            return level == 0 ? compaction_of(version, 0, tables)
                              : compaction_in_place(level, *table);
        }
    }
    return std::nullopt;
}

}  // namespace starling::storage::lsm
