#include "storage/lsm/damage.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/key_ranges.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/value_file.h"

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

class Search {
  public:
    Search(env::FileSystem& files,
           const std::string& directory,
           TableCache& tables,
           absl::FunctionRef<bool()> should_stop)
        : files_(files),
          directory_(directory),
          tables_(tables),
          should_stop_(should_stop),
          values_(files, directory, value_files_open_max) {}

    absl::Status run(const Version& version) {
        for (const Version::ValueFile& file : version.value_files()) {
            STARLING_RETURN_IF_ERROR(check_value_file(file));
        }
        for (size_t level = 0; level < level_count; ++level) {
            for (const TablePtr& table : version.level(level)) {
                STARLING_RETURN_IF_ERROR(check_table(*table));
            }
        }
        return absl::OkStatus();
    }

    Damage take() { return std::move(damage_); }

  private:
    absl::Status check_value_file(const Version::ValueFile& file) {
        const std::string path = value_file_path(directory_, file.number);
        const auto size = files_.file_size(path);
        if (absl::IsNotFound(size.status())) {
            unfit_value_files_.emplace(file.number, missing_file(path));
            return absl::OkStatus();
        }
        STARLING_RETURN_IF_ERROR(size.status());
        if (*size != file.file_bytes) {
            unfit_value_files_.emplace(file.number, wrong_size(path, *size, file.file_bytes));
        }
        return absl::OkStatus();
    }

    absl::Status check_table(const TableMetadata& table) {
        const auto opened = tables_.open_anew(table);
        if (absl::IsDataLoss(opened.status())) {
            STARLING_MARK(damage_takes_a_table);
            damage_.lose_table(table, opened.status());
            return absl::OkStatus();
        }
        STARLING_RETURN_IF_ERROR(opened.status());
        for (size_t index = 0; index < (*opened)->block_count(); ++index) {
            STARLING_RETURN_IF_ERROR(admit_read());
            const auto block = (*opened)->read_from_file(index);
            if (absl::IsDataLoss(block.status())) {
                STARLING_MARK(damage_takes_a_block);
                const std::string_view before =
                    index == 0 ? std::string_view(table.smallest) : (*opened)->last_key(index - 1);
                damage_.lose_block(table,
                                   (*opened)->block_offset(index),
                                   {.first = std::string(user_key_of(before)),
                                    .last = std::string(user_key_of((*opened)->last_key(index)))},
                                   block.status());
                continue;
            }
            STARLING_RETURN_IF_ERROR(block.status());
            STARLING_RETURN_IF_ERROR(check_entries(table, *block));
        }
        return absl::OkStatus();
    }

    absl::Status check_entries(const TableMetadata& table, const BlockPtr& block) {
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
            } else {
                status = absl::DataLossError(fmt::format("{}: a value is not what its kind says",
                                                         table_path(directory_, table.number)));
            }
            if (absl::IsDataLoss(status)) {
                STARLING_MARK(damage_takes_a_value);
                damage_.lose_entry(table, user_key_of(entry.key()), pointer, std::move(status));
                continue;
            }
            STARLING_RETURN_IF_ERROR(status);
        }
        return absl::OkStatus();
    }

    absl::Status check_value(const ValuePointer& pointer) {
        const auto unfit = unfit_value_files_.find(pointer.file);
        if (unfit != unfit_value_files_.end()) {
            return unfit->second;
        }
        STARLING_RETURN_IF_ERROR(admit_read());
        return values_.read(pointer).status();
    }

    absl::Status admit_read() {
        return should_stop_() ? absl::CancelledError("the engine is closing") : absl::OkStatus();
    }

    env::FileSystem& files_;
    const std::string& directory_;
    TableCache& tables_;
    const absl::FunctionRef<bool()> should_stop_;
    // Opened anew.
    ValueFiles values_;
    // Missing or of another size, and the error that says so.
    absl::flat_hash_map<uint64_t, absl::Status> unfit_value_files_;
    Damage damage_;
};

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

absl::StatusOr<Damage> find_damage(env::FileSystem& files,
                                   const std::string& directory,
                                   TableCache& tables,
                                   const Version& version,
                                   absl::FunctionRef<bool()> should_stop) {
    Search search(files, directory, tables, should_stop);
    STARLING_RETURN_IF_ERROR(search.run(version));
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
