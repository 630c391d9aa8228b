#pragma once

// Segments: what an encrypted file consists of after its header. Pure functions over bytes.
//
// All fields of a segment, the file's id and the segment's place in the file are authenticated, so
// none can be changed, moved, or taken from another file. A segment also says up to which place of
// the file everything was durable when it was made: that tells damage from what a power loss left
// (docs/formats/encrypted_file.md).

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "env/encrypted/cipher.h"
#include "env/encrypted/file_header.h"

namespace starling::env {

inline constexpr uint32_t segment_plain_bytes = 4096;
inline constexpr size_t segment_header_bytes = 32;
inline constexpr size_t segment_overhead_bytes = segment_header_bytes + tag_bytes;
inline constexpr size_t segment_bytes_max = segment_plain_bytes + segment_overhead_bytes;

enum class SegmentKind : uint16_t {
    // 1 .. segment_plain_bytes of content, at the end reached.
    data = 1,
    // No content: what the file had at and after this segment's offset is cut off.
    cut = 2,
    // No content: all before it is durable.
    seal = 3,
    // As seal; and all data segments but the last are full, with nothing between them.
    uniform_seal = 4,
};

struct SegmentHeader {
    SegmentKind kind = SegmentKind::data;
    uint16_t length = 0;
    // Of the first byte, in the content of the file.
    uint64_t plain_offset = 0;
    // In the encrypted file; 0: nothing is known to be durable.
    uint64_t durable = 0;

    size_t stored_bytes() const { return length + segment_overhead_bytes; }
};

// Where a uniform file has the data segment that begins at `plain_offset`. REQUIRES: a multiple of
// segment_plain_bytes.
constexpr uint64_t uniform_position(uint64_t plain_offset) {
    return file_header_bytes + plain_offset / segment_plain_bytes * segment_bytes_max;
}

// False when this cannot be the header of a segment at `position`. Says nothing about truth.
bool parse_segment_header(std::string_view bytes, uint64_t position, SegmentHeader& header);

// Not thread-safe.
class SegmentSealer {
  public:
    SegmentSealer(const FileKey& key, SharedRandom& random)
        : id_(key.id), gcm_(key.data_key, Gcm::Direction::seal), random_(random) {}

    // Writes header.stored_bytes() to `out`. Each call draws a new nonce. REQUIRES: plain.size() ==
    // header.length.
    void seal(const SegmentHeader& header, uint64_t position, std::string_view plain, char* out);

  private:
    const FileId id_;
    Gcm gcm_;
    SharedRandom& random_;
};

// Not thread-safe.
class SegmentOpener {
  public:
    explicit SegmentOpener(const FileKey& key)
        : id_(key.id), gcm_(key.data_key, Gcm::Direction::open) {}

    // Takes the segment at the start of `bytes`; its content goes to `plain`, where `room` bytes
    // are. False, and nothing of it there: no segment that was sealed for this place of this
    // file, not a whole one, or one with more content than that.
    bool open(
        std::string_view bytes, uint64_t position, SegmentHeader& header, char* plain, size_t room);

  private:
    const FileId id_;
    Gcm gcm_;
};

}  // namespace starling::env
