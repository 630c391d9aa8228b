#include "storage/log/record_file.h"

#include <algorithm>
#include <cstring>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/planted.h"

namespace starling::storage {

namespace {

constexpr std::string_view magic = "STARLREC";
constexpr uint32_t record_format_version = 1;
constexpr size_t checksum_bytes = 4;
// In a record's header.
constexpr size_t length_offset = 8;
constexpr size_t durable_offset = 20;

void store_u32(char* at, uint32_t value) {
    std::memcpy(at, &value, sizeof(value));
}
uint32_t load_u32(const char* at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

// What a record at this place would claim.
LogPosition load_durable(const char* at) {
    LogPosition durable;
    std::memcpy(&durable, at + durable_offset, sizeof(durable));
    return durable;
}

// How many bytes of so many are zeros before the first word that is not.
uint64_t zero_bytes(const char* at, uint64_t count) {
    uint64_t zeros = 0;
    uint64_t words[4];
    for (; zeros + sizeof(words) <= count; zeros += sizeof(words)) {
        std::memcpy(words, at + zeros, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) != 0) {
            break;
        }
    }
    for (; zeros + sizeof(words[0]) <= count; zeros += sizeof(words[0])) {
        std::memcpy(words, at + zeros, sizeof(words[0]));
        if (words[0] != 0) {
            break;
        }
    }
    return zeros;
}

// Of the header without its own checksum, and of the place it stands at.
uint32_t header_checksum(std::string_view rest, uint64_t number, uint64_t offset) {
    char place[16];
    std::memcpy(place, &number, 8);
    std::memcpy(place + 8, &offset, 8);
    return base::crc32c_extend(base::crc32c({place, sizeof(place)}), rest);
}

}  // namespace

std::string encode_record_file_header(RecordFileKind kind, uint64_t number, LogPosition base) {
    std::string header(magic);
    base::put_u16(header, static_cast<uint16_t>(kind));
    base::put_u16(header, static_cast<uint16_t>(record_format_version));
    base::put_u64(header, number);
    base::put_u64(header, base);
    base::put_u32(header, base::crc32c(header));
    return header;
}

void append_record(std::string& out,
                   uint64_t sequence,
                   LogPosition durable,
                   std::string_view payload) {
    // All of it or nothing, also when there is no memory left.
    out.reserve(out.size() + record_header_bytes + payload.size());
    char header[record_header_bytes] = {};
    store_u32(header + length_offset, static_cast<uint32_t>(payload.size()));
    std::memcpy(header + 12, &sequence, 8);
    std::memcpy(header + durable_offset, &durable, 8);
    out.append(header, sizeof(header));
    out.append(payload);
}

void extend_record(std::string& out, size_t record, LogPosition durable, std::string_view payload) {
    out.append(payload);
    char* const header = out.data() + record;
    store_u32(header + length_offset,
              static_cast<uint32_t>(out.size() - record - record_header_bytes));
    std::memcpy(header + durable_offset, &durable, sizeof(durable));
}

void seal_records(char* begin, const char* end, uint64_t number, uint64_t offset) {
    while (begin < end) {
        const size_t length = load_u32(begin + length_offset);
        store_u32(begin + 4, base::crc32c({begin + record_header_bytes, length}));
        const std::string_view covered(begin + checksum_bytes,
                                       record_header_bytes - checksum_bytes);
        store_u32(begin, header_checksum(covered, number, offset));
        begin += record_header_bytes + length;
        offset += record_header_bytes + length;
    }
}

RecordReader::RecordReader(std::string_view content, RecordFileKind kind, uint64_t number)
    : content_(content), number_(number) {
    base::Reader reader(content.substr(0, record_file_header_bytes));
    const bool known = reader.take(magic.size()) == magic &&
                       reader.u16() == static_cast<uint16_t>(kind) &&
                       reader.u16() == record_format_version && reader.u64() == number;
    base_ = reader.u64();
    const uint32_t checksum = reader.u32();
    has_header_ =
        known && !reader.failed() &&
        checksum == base::crc32c(content.substr(0, record_file_header_bytes - checksum_bytes));
    offset_ = has_header_ ? record_file_header_bytes : 0;
}

bool RecordReader::read_header(uint64_t offset, Header& header) const {
    if (content_.size() - offset < record_header_bytes) {
        return false;
    }
    const std::string_view bytes = content_.substr(offset, record_header_bytes);
    base::Reader reader(bytes);
    const uint32_t checksum = reader.u32();
    header.payload_checksum = reader.u32();
    header.length = reader.u32();
    header.sequence = reader.u64();
    header.durable = reader.u64();
    return checksum == header_checksum(bytes.substr(checksum_bytes), number_, offset);
}

bool RecordReader::next(Record& record) {
    Header header;
    if (!has_header_ || offset_ >= content_.size() || !read_header(offset_, header) ||
        header.length > content_.size() - offset_ - record_header_bytes) {
        return false;
    }
    const std::string_view payload = content_.substr(offset_ + record_header_bytes, header.length);
    if (base::crc32c(payload) != header.payload_checksum && !STARLING_PLANTED(torn_tail_accepted)) {
        return false;
    }
    record = {.sequence = header.sequence,
              .durable = header.durable,
              .offset = offset_,
              .payload = payload};
    offset_ += record_header_bytes + header.length;
    return true;
}

LogPosition RecordReader::durable_claimed_beyond(LogPosition position, LogPosition base_max) const {
    LogPosition claimed = 0;
    const LogPosition base = has_header_ ? base_ : base_max;
    const char* const bytes = content_.data();
    const uint64_t size = content_.size();
    for (uint64_t offset = offset_; offset + record_header_bytes <= size; ++offset) {
        const LogPosition durable = load_durable(bytes + offset);
        if (durable == 0) {
            // Nothing is claimed by the zeros that a file is filled ahead with.
            const uint64_t at = offset + durable_offset;
            offset += zero_bytes(bytes + at, size - at) - sizeof(durable);
            continue;
        }
        // A record that claims its own future is a coincidence of checksums, which among millions
        // of places is to be expected.
        if (durable <= std::max(position, claimed) || durable > base + offset) [[likely]] {
            continue;
        }
        Header header;
        if (read_header(offset, header)) {
            claimed = durable;
        }
    }
    return claimed;
}

}  // namespace starling::storage
