#include "env/encrypted/segment.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/codec.h"

namespace starling::env {

namespace {

// Of the header, that is: all but the nonce, which GCM authenticates anyway.
constexpr size_t field_bytes = segment_header_bytes - nonce_bytes;

// What is authenticated beside the content: the file, the place in it, the fields.
class Associated {
  public:
    Associated(const FileId& id, uint64_t position, const char* fields) {
        std::memcpy(bytes_.data(), id.data(), file_id_bytes);
        std::memcpy(bytes_.data() + file_id_bytes, &position, sizeof(position));
        std::memcpy(bytes_.data() + file_id_bytes + sizeof(position), fields, field_bytes);
    }
    std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

  private:
    std::array<char, file_id_bytes + sizeof(uint64_t) + field_bytes> bytes_;
};

template <typename Integer>
Integer load(const char* at) {
    Integer value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

}  // namespace

bool parse_segment_header(std::string_view bytes, uint64_t position, SegmentHeader& header) {
    if (bytes.size() < segment_overhead_bytes) {
        return false;
    }
    const char* const fields = bytes.data() + nonce_bytes;
    const auto kind = load<uint16_t>(fields);
    header.kind = static_cast<SegmentKind>(kind);
    header.length = load<uint16_t>(fields + 2);
    header.plain_offset = load<uint64_t>(fields + 4);
    header.durable = load<uint64_t>(fields + 12);
    const bool has_content = header.kind == SegmentKind::data;
    const bool is_seal =
        header.kind == SegmentKind::seal || header.kind == SegmentKind::uniform_seal;
    return kind >= static_cast<uint16_t>(SegmentKind::data) &&
           kind <= static_cast<uint16_t>(SegmentKind::uniform_seal) &&
           (header.length > 0) == has_content && header.length <= segment_plain_bytes &&
           header.plain_offset <= position && header.durable <= position &&
           (header.durable == 0 || header.durable >= file_header_bytes) &&
           (!is_seal || header.durable == position);
}

void SegmentSealer::seal(const SegmentHeader& header,
                         uint64_t position,
                         std::string_view plain,
                         char* out) {
    STARLING_CHECK(plain.size() == header.length);
    random_.fill(out, nonce_bytes);
    char* const fields = out + nonce_bytes;
    const auto kind = static_cast<uint16_t>(header.kind);
    std::memcpy(fields, &kind, 2);
    std::memcpy(fields + 2, &header.length, 2);
    std::memcpy(fields + 4, &header.plain_offset, 8);
    std::memcpy(fields + 12, &header.durable, 8);
    char* const cipher = out + segment_header_bytes;
    gcm_.seal(out, Associated(id_, position, fields).view(), plain, cipher, cipher + plain.size());
    SegmentHeader again;
    STARLING_CHECK(parse_segment_header({out, header.stored_bytes()}, position, again));
}

bool SegmentOpener::open(
    std::string_view bytes, uint64_t position, SegmentHeader& header, char* plain, size_t room) {
    if (!parse_segment_header(bytes, position, header) || bytes.size() < header.stored_bytes() ||
        header.length > room) {
        return false;
    }
    const char* const cipher = bytes.data() + segment_header_bytes;
    return gcm_.open(bytes.data(),
                     Associated(id_, position, bytes.data() + nonce_bytes).view(),
                     {cipher, header.length},
                     cipher + header.length,
                     plain);
}

}  // namespace starling::env
