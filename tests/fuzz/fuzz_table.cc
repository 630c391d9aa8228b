// Tables. The input makes entries, of which the target builds a table and reads it back, and damage
// to it. Oracles: without damage every entry comes back, both ways and by its key; with it each
// read gives what was written or data_loss. And as blocks whose checksums are right the input harms
// nothing: what a damaged writer could have left is read to its end or refused.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/sim/file_system.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/table.h"
#include "storage/lsm/table_builder.h"
#include "storage/lsm/table_format.h"

namespace {

using namespace starling;
using namespace starling::storage;
using namespace starling::storage::lsm;

constexpr uint64_t number = 7;
constexpr size_t entries_max = 64;
constexpr size_t blocks_max = 8;
const std::string directory = "/t";

struct KeyLess {
    bool operator()(const std::string& a, const std::string& b) const {
        return compare_internal(a, b) < 0;
    }
};
using Entries = std::map<std::string, std::string, KeyLess>;

Entries entries_from(base::Reader& in) {
    Entries entries;
    for (size_t count = in.u8() % entries_max; count > 0 && !in.failed(); --count) {
        const std::string_view key = in.bytes();
        const uint64_t tag = make_tag(in.varint() >> 8, static_cast<ChangeKind>(in.u8() % 2));
        entries.emplace(make_internal_key(key, tag), in.bytes());
    }
    return entries;
}

BlockCache new_cache() {
    return {0, BlockCachePolicy::lru, 256};
}

// All entries, forward and backward; false: something was refused.
bool read_all(const std::shared_ptr<const Table>& table, Entries& found) {
    TableIterator iterator(ReadMode::once, nullptr);
    iterator.reset(table);
    size_t forward = 0;
    for (iterator.seek_to_first(); iterator.valid(); iterator.next()) {
        found.emplace(iterator.key(), iterator.value());
        ++forward;
    }
    bool whole = iterator.status().ok();
    size_t backward = 0;
    for (iterator.seek_to_last(); iterator.valid(); iterator.previous()) {
        ++backward;
    }
    whole = whole && iterator.status().ok();
    STARLING_CHECK(!whole || forward == backward);
    return whole;
}

void check_built(std::string_view input) {
    base::Reader in(input);
    EngineOptions options;
    options.block_bytes = 64 + in.u8();
    options.compression = static_cast<Compression>(in.u8() % 3);
    options.filter_bits_per_key = in.u8() % 3 * 8;
    const uint64_t flip_at = in.u16();
    const auto flips = static_cast<char>(in.u8());
    const Entries entries = entries_from(in);
    if (entries.empty()) {
        return;
    }
    env::SimFileSystem files;
    STARLING_CHECK(files.create_directory(directory).ok());
    auto builder = *TableBuilder::create(files, directory, number, options);
    for (const auto& [key, value] : entries) {
        STARLING_CHECK(builder->add(key, value).ok());
    }
    const TableMetadata metadata = *builder->finish();
    builder.reset();
    const bool damaged = flips != 0 && flip_at < metadata.file_bytes;
    if (damaged) {
        const std::string path = table_path(directory, number);
        std::string content = *env::read_file(files, path, metadata.file_bytes);
        content[flip_at] = static_cast<char>(content[flip_at] ^ flips);
        STARLING_CHECK(files.damage(path, flip_at, content.substr(flip_at, 1)).ok());
    }
    BlockCache cache = new_cache();
    const auto table = Table::open(files, directory, metadata, cache);
    STARLING_CHECK(table.ok() || (damaged && absl::IsDataLoss(table.status())));
    if (!table.ok()) {
        return;
    }
    Entries found;
    const bool whole = read_all(*table, found);
    STARLING_CHECK(whole ? found == entries : damaged);
    for (const auto& [key, value] : found) {
        const auto original = entries.find(key);
        STARLING_CHECK(original != entries.end() && original->second == value);
    }
    for (const auto& [key, value] : entries) {
        FoundEntry entry;
        const std::string_view user_key = user_key_of(key);
        const auto got =
            (*table)->get(LookupKey(user_key, sequence_of_tag(tag_of(key))), ReadMode::once, entry);
        STARLING_CHECK(got.ok() || (damaged && absl::IsDataLoss(got.status())));
        if (got.ok() && *got) {
            const auto original = entries.find(make_internal_key(user_key, entry.tag));
            STARLING_CHECK(original != entries.end() && original->second == entry.value);
        } else {
            STARLING_CHECK(!got.ok());
        }
    }
}

// Blocks and handles of the input, sealed with the checksums they need.
void check_foreign(std::string_view input) {
    base::Reader in(input);
    std::string file;
    std::vector<BlockHandle> handles;
    for (size_t count = in.u8() % blocks_max; count > 0 && !in.failed(); --count) {
        const auto compression = static_cast<Compression>(in.u8() % 3);
        const uint64_t offset = file.size();
        const uint64_t size = append_block(file, in.bytes(), compression, number, offset);
        handles.push_back({.offset = offset, .size = size});
    }
    if (handles.empty() || in.failed()) {
        return;
    }
    TableFooter footer{.filter = {}, .index = handles.back(), .entry_count = in.varint()};
    const uint8_t choice = in.u8();
    if (choice % 2 == 1) {
        footer.filter = handles[choice / 2 % handles.size()];
    }
    if (choice % 5 == 4) {
        footer.index = {.offset = in.varint(), .size = in.varint()};
    }
    file += encode_table_footer(footer, number);
    env::SimFileSystem files;
    STARLING_CHECK(files.create_directory(directory).ok());
    STARLING_CHECK(env::replace_file(files, table_path(directory, number), file).ok());
    TableMetadata metadata;
    metadata.number = number;
    metadata.file_bytes = file.size();
    metadata.entry_count = footer.entry_count;
    BlockCache cache = new_cache();
    const auto table = Table::open(files, directory, metadata, cache);
    if (!table.ok()) {
        STARLING_CHECK(absl::IsDataLoss(table.status()));
        return;
    }
    Entries found;
    read_all(*table, found);
    TableIterator iterator(ReadMode::once, nullptr);
    iterator.reset(*table);
    for (const auto& [key, value] : found) {
        FoundEntry entry;
        (*table)
            ->get(LookupKey(user_key_of(key), sequence_max), ReadMode::once, entry)
            .IgnoreError();
        (*table)->approximate_offset(user_key_of(key));
        iterator.seek(key);
    }
}

// The input as a packed block whose checksum is right, in each way of packing and an unknown one.
void check_packed(std::string_view input) {
    constexpr uint64_t offset = 99;
    std::string place;
    base::put_u64(place, number);
    base::put_u64(place, offset);
    for (const char compression : {'\0', '\1', '\2', '\3'}) {
        std::string stored(input);
        stored += compression;
        base::put_u32(stored, base::crc32c_extend(base::crc32c(place), stored));
        const auto content = unpack_block(stored, number, offset, "path");
        STARLING_CHECK(content.ok() || absl::IsDataLoss(content.status()));
        STARLING_CHECK(compression != '\0' || (content.ok() && *content == input));
        STARLING_CHECK(compression != '\3' || !content.ok());
        STARLING_CHECK(!unpack_block(stored, number, offset + 1, "path").ok());
    }
    Block::make(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    check_built(input);
    check_foreign(input);
    check_packed(input);
    return 0;
}
