#include "storage/lsm/version_edit.h"

#include "base/codec.h"

namespace starling::storage::lsm {

namespace {

enum Field : uint8_t {
    field_next_file_number = 1,
    field_log = 2,
    field_removed = 3,
    // Of format 1, without sequences and expiry.
    field_added_1 = 4,
    field_added = 5,
    field_range_removal = 6,
    field_range_removal_gone = 7,
    field_expired_until = 8,
    field_value_file = 9,
};

void put_added(std::string& out, const VersionEdit::Added& added) {
    base::put_u8(out, field_added);
    base::put_varint(out, added.level);
    base::put_varint(out, added.table.number);
    base::put_varint(out, added.table.file_bytes);
    base::put_varint(out, added.table.entry_count);
    base::put_varint(out, added.table.removal_count);
    base::put_bytes(out, added.table.smallest);
    base::put_bytes(out, added.table.largest);
    base::put_varint(out, added.table.smallest_sequence);
    base::put_varint(out, added.table.largest_sequence);
    base::put_varint(out, added.table.latest_expiry);
    base::put_varint(out, added.table.value_references.size());
    for (const TableMetadata::ValueReference& reference : added.table.value_references) {
        base::put_varint(out, reference.file);
        base::put_varint(out, reference.bytes);
    }
}

uint32_t read_level(base::Reader& reader) {
    const uint64_t level = reader.varint();
    if (level >= level_count) {
        reader.fail();
        return 0;
    }
    return static_cast<uint32_t>(level);
}

Expiry read_expiry(base::Reader& reader) {
    const Expiry expiry = reader.varint();
    if (expiry > expiry_max) {
        reader.fail();
    }
    return expiry;
}

VersionEdit::Added read_added(base::Reader& reader, uint8_t field) {
    VersionEdit::Added added;
    added.level = read_level(reader);
    added.table.number = reader.varint();
    added.table.file_bytes = reader.varint();
    added.table.entry_count = reader.varint();
    added.table.removal_count = reader.varint();
    added.table.smallest = reader.bytes();
    added.table.largest = reader.bytes();
    if (!is_internal_key(added.table.smallest) || !is_internal_key(added.table.largest) ||
        compare_internal(added.table.smallest, added.table.largest) > 0) {
        reader.fail();
    }
    if (field == field_added) {
        added.table.smallest_sequence = reader.varint();
        added.table.largest_sequence = reader.varint();
        added.table.latest_expiry = read_expiry(reader);
        for (uint64_t count = reader.varint(); count > 0 && !reader.failed(); --count) {
            const uint64_t file = reader.varint();
            added.table.value_references.push_back({.file = file, .bytes = reader.varint()});
        }
    }
    return added;
}

}  // namespace

std::string encode_version_edit(const VersionEdit& edit) {
    std::string out;
    base::put_u8(out, field_next_file_number);
    base::put_varint(out, edit.next_file_number);
    if (edit.log.has_value()) {
        base::put_u8(out, field_log);
        base::put_varint(out, edit.log->number);
        base::put_varint(out, edit.log->position);
        base::put_varint(out, edit.log->flushed);
    }
    for (const VersionEdit::Removed& removed : edit.removed) {
        base::put_u8(out, field_removed);
        base::put_varint(out, removed.level);
        base::put_varint(out, removed.number);
    }
    for (const VersionEdit::Added& added : edit.added) {
        put_added(out, added);
    }
    for (const ValueFileMetadata& file : edit.value_files) {
        base::put_u8(out, field_value_file);
        base::put_varint(out, file.number);
        base::put_varint(out, file.file_bytes);
    }
    for (const RangeRemoval& removal : edit.range_removals) {
        base::put_u8(out, field_range_removal);
        base::put_bytes(out, removal.begin);
        base::put_bytes(out, removal.end);
        base::put_varint(out, removal.sequence);
    }
    for (const Sequence sequence : edit.range_removals_gone) {
        base::put_u8(out, field_range_removal_gone);
        base::put_varint(out, sequence);
    }
    if (edit.expired_until != 0) {
        base::put_u8(out, field_expired_until);
        base::put_varint(out, edit.expired_until);
    }
    return out;
}

absl::StatusOr<VersionEdit> decode_version_edit(std::string_view bytes) {
    base::Reader reader(bytes);
    VersionEdit edit;
    while (!reader.failed() && !reader.rest().empty()) {
        const uint8_t field = reader.u8();
        switch (field) {
            case field_next_file_number:
                edit.next_file_number = reader.varint();
                break;
            case field_log: {
                LogStart& log = edit.log.emplace();
                log.number = reader.varint();
                log.position = reader.varint();
                log.flushed = reader.varint();
                break;
            }
            case field_removed: {
                const uint32_t level = read_level(reader);
                edit.removed.push_back({.level = level, .number = reader.varint()});
                break;
            }
            case field_added_1:
            case field_added:
                edit.added.push_back(read_added(reader, field));
                break;
            case field_value_file: {
                const uint64_t number = reader.varint();
                edit.value_files.push_back({.number = number, .file_bytes = reader.varint()});
                break;
            }
            case field_range_removal: {
                RangeRemoval& removal = edit.range_removals.emplace_back();
                removal.begin = reader.bytes();
                removal.end = reader.bytes();
                removal.sequence = reader.varint();
                break;
            }
            case field_range_removal_gone:
                edit.range_removals_gone.push_back(reader.varint());
                break;
            case field_expired_until:
                edit.expired_until = read_expiry(reader);
                break;
            default:
                reader.fail();
        }
    }
    if (!reader.finished() || edit.next_file_number == 0) {
        return absl::DataLossError("a version edit is damaged");
    }
    return edit;
}

}  // namespace starling::storage::lsm
