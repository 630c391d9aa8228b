// The files of the bitcask engine that are read at a start: hints and the list of files. Oracles: a
// hint made of changes gives the same changes back; a damaged one gives none of another hint's, and
// whatever is accepted points into its data file; a list that is accepted is, written again, the
// same bytes. And as a file of its own, the input harms nothing.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "storage/bitcask/data_file.h"
#include "storage/bitcask/file_list.h"
#include "storage/log/record_file.h"

namespace {

using namespace starling;
using namespace starling::storage;
using namespace starling::storage::bitcask;

constexpr ListedFile data_file{.number = 7, .bytes = 1u << 20, .merged = false};
constexpr size_t changes_max = 32;

std::vector<Change> changes_from(base::Reader& in) {
    std::vector<Change> changes;
    const size_t count = in.u8() % changes_max;
    while (changes.size() < count && !in.failed()) {
        Change& change = changes.emplace_back();
        change.type = static_cast<ChangeType>(1 + in.u8() % 3);
        change.sequence = in.varint();
        change.key = in.bytes();
        change.location.file = data_file.number;
        if (change.type == ChangeType::put) {
            change.expiry = in.varint() % (expiry_max + 1);
            change.location.offset = in.varint() % data_file.bytes;
            change.location.size =
                static_cast<uint32_t>(in.varint() % (data_file.bytes - change.location.offset + 1));
            change.location.checksum = in.u32();
        } else if (change.type == ChangeType::remove_range) {
            change.end = in.bytes();
        }
    }
    return changes;
}

bool same(const Change& a, const Change& b) {
    return a.type == b.type && a.sequence == b.sequence && a.key == b.key && a.end == b.end &&
           a.expiry == b.expiry && a.location == b.location;
}

// Whether the content is a hint; it may visit changes of a damaged one before it knows.
bool decode(std::string_view content, std::vector<Change>& changes) {
    return decode_hint(content, data_file, [&](const Change& change) {
        STARLING_CHECK(change.location.offset + change.location.size <= data_file.bytes);
        changes.push_back(change);
        return absl::OkStatus();
    });
}

void check_hint(std::string_view input) {
    base::Reader in(input);
    const uint64_t at = in.u16();
    const auto flips = static_cast<char>(in.u8());
    const uint64_t cut = in.u8();
    const std::vector<Change> changes = changes_from(in);
    HintBuilder builder(data_file.number);
    for (const Change& change : changes) {
        builder.add(change);
    }
    std::string content = builder.finish(data_file.bytes);
    const std::string original = content;
    if (at < content.size()) {
        content[at] = static_cast<char>(content[at] ^ flips);
    }
    content.resize(content.size() - std::min<uint64_t>(cut, content.size()));
    std::vector<Change> found;
    const bool accepted = decode(content, found);
    STARLING_CHECK(accepted == (content == original));
    STARLING_CHECK(found.size() <= changes.size());
    for (size_t i = 0; i < found.size(); ++i) {
        STARLING_CHECK(same(found[i], changes[i]));
    }
    STARLING_CHECK(!accepted || found.size() == changes.size());
}

// The input as the payload of a record whose checksums are right, and as a whole file.
void check_foreign_hint(std::string_view input) {
    std::string records;
    append_record(records, 0, 0, input);
    append_record(records, 1, 0, {});
    seal_records(records.data(),
                 records.data() + records.size(),
                 data_file.number,
                 record_file_header_bytes);
    std::vector<Change> changes;
    decode(encode_record_file_header(RecordFileKind::hint, data_file.number, data_file.bytes) +
               records,
           changes);
    decode(input, changes);
}

void check_list(std::string_view input) {
    if (const auto list = decode_file_list(input)) {
        STARLING_CHECK(encode_file_list(*list) == input);
    }
    std::string text = "starling bitcask files\n" + std::string(input);
    text += "checksum ";
    const uint32_t checksum = base::crc32c(
        std::string_view(text).substr(0, text.size() - std::string_view("checksum ").size()));
    constexpr std::string_view digits = "0123456789abcdef";
    for (int shift = 28; shift >= 0; shift -= 4) {
        text += digits[(checksum >> shift) & 15];
    }
    text += "\n";
    if (const auto list = decode_file_list(text)) {
        STARLING_CHECK(encode_file_list(*list) == text);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    check_hint(input);
    check_foreign_hint(input);
    check_list(input);
    return 0;
}
