#include "storage/bitcask/changes.h"

#include "base/crc32c.h"
#include "base/status_macros.h"

namespace starling::storage::bitcask {

namespace {

// Each change ends with its last field, and the next one begins there.
struct Collector final : WriteBatch::Handler {
    Collector(std::string_view whole, uint64_t first, uint64_t file_number, uint64_t place)
        : batch(whole), sequence(first), file(file_number), offset(place) {}

    void put(std::string_view key, std::string_view value, Expiry expiry) override {
        Change& change = add(ChangeType::put, key, value);
        change.expiry = expiry;
        change.location = {.file = file,
                           .offset = offset + static_cast<uint64_t>(value.data() - batch.data()),
                           .size = static_cast<uint32_t>(value.size()),
                           .checksum = value_checksum(key, value)};
    }
    void remove(std::string_view key) override { add(ChangeType::remove, key, key); }
    void remove_range(std::string_view first_key, std::string_view end) override {
        add(ChangeType::remove_range, first_key, end).end = end;
    }

    Change& add(ChangeType type, std::string_view key, std::string_view last) {
        Change& change = changes.emplace_back();
        change.type = type;
        change.sequence = sequence++;
        change.location.file = file;
        change.key = key;
        const auto stop = static_cast<size_t>(last.data() - batch.data()) + last.size();
        change.encoded = batch.substr(change_begin, stop - change_begin);
        change_begin = stop;
        return change;
    }

    const std::string_view batch;
    uint64_t sequence;
    const uint64_t file;
    const uint64_t offset;
    size_t change_begin = 0;
    std::vector<Change> changes;
};

}  // namespace

uint32_t value_checksum(std::string_view key, std::string_view value) {
    return base::crc32c_extend(base::crc32c(key), value);
}

absl::StatusOr<std::vector<Change>> changes_of(std::string_view batch,
                                               uint64_t first,
                                               uint64_t file,
                                               uint64_t offset) {
    Collector collector(batch, first, file, offset);
    STARLING_RETURN_IF_ERROR(WriteBatch::replay(batch, collector));
    return std::move(collector.changes);
}

}  // namespace starling::storage::bitcask
