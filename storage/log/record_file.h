#pragma once

// The format that logs, manifests and data files share (docs/formats/log.md): a file header, then
// records, one after another. It answers the question that decides between a crash and corruption:
// is what cannot be read something that was never durable?
//
// 1. The header's checksum of a record covers the number of its file and its offset in it: bytes of
// another
//    file, or of an earlier life of this one, are never taken for a record.
// 2. Each record says up to which *position* everything was durable when it was made. A position
// counts
//    the bytes of all files of a kind, from the first one ever. So a damaged place that a readable
//    record beyond it claims as durable is corruption; one that none claims is what a power loss
//    left.
//
// Pure functions over bytes: no I/O.

#include <cstdint>
#include <string>
#include <string_view>

namespace starling::storage {

using LogPosition = uint64_t;

enum class RecordFileKind : uint32_t { log = 1, manifest = 2, data = 3, merged_data = 4, hint = 5 };

inline constexpr size_t record_file_header_bytes = 32;
inline constexpr size_t record_header_bytes = 28;

std::string encode_record_file_header(RecordFileKind kind, uint64_t number, LogPosition base);

// Appends a record without its checksums, which depend on where it will stand.
void append_record(std::string& out,
                   uint64_t sequence,
                   LogPosition durable,
                   std::string_view payload);
// Adds to the payload of the record that begins at `record` of `out`, and is the last one there.
void extend_record(std::string& out, size_t record, LogPosition durable, std::string_view payload);
// Fills in the checksums of the whole records in [begin, end), which will stand at `offset` of file
// `number`.
void seal_records(char* begin, const char* end, uint64_t number, uint64_t offset);

struct Record {
    uint64_t sequence = 0;
    // Everything before this position was durable when the record was made.
    LogPosition durable = 0;
    uint64_t offset = 0;
    std::string_view payload;
};

// Reads records up to the first damage. The content is untrusted and must outlive the reader.
class RecordReader {
  public:
    RecordReader(std::string_view content, RecordFileKind kind, uint64_t number);

    // False: the file header cannot be read, so neither can anything else.
    bool has_header() const { return has_header_; }
    // The position of the file's first byte.
    LogPosition base() const { return base_; }

    // False at the end, or at damage.
    bool next(Record& record);

    // Where the next record would begin.
    uint64_t offset() const { return offset_; }
    // False when bytes follow that are no record.
    bool at_end() const { return offset_ == content_.size(); }

    // The highest position above `position` that any record header, readable at any offset from
    // here on, claims as durable; 0: none. `base_max`: a file whose header cannot be read begins
    // there at most. Looks at the rest of the content byte by byte; what cannot be such a claim
    // (zeros, records of the file's earlier life) costs a comparison.
    LogPosition durable_claimed_beyond(LogPosition position, LogPosition base_max) const;

  private:
    struct Header {
        uint32_t payload_checksum;
        uint32_t length;
        uint64_t sequence;
        LogPosition durable;
    };

    bool read_header(uint64_t offset, Header& header) const;

    const std::string_view content_;
    const uint64_t number_;
    bool has_header_ = false;
    LogPosition base_ = 0;
    uint64_t offset_ = 0;
};

}  // namespace starling::storage
