#pragma once

// Where an encrypted file has its content, and where that content ends.
//
// A uniform file that was closed after its last sync ends with a seal that says so, and needs one
// read. Any other is walked from its start: the content ends at the first place that holds no
// segment, unless a segment beyond claims that this place was durable: then it is damage.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "env/encrypted/file_header.h"
#include "env/encrypted/segment.h"
#include "env/file_system.h"

namespace starling::env {

// A data segment.
struct Piece {
    uint64_t plain_offset = 0;
    uint64_t position = 0;
    uint32_t length = 0;
    // How much of it counts, from its start: less than `length` when a cut follows.
    uint32_t visible = 0;

    uint64_t plain_end() const { return plain_offset + visible; }
    uint64_t position_end() const { return position + segment_overhead_bytes + length; }
};

class Layout {
  public:
    // Of a file that has nothing but a header.
    Layout() = default;
    static Layout uniform(uint64_t plain_size, uint64_t end);

    // What follows at end(). False: it does not continue what is here.
    bool add(const SegmentHeader& header);

    uint64_t plain_size() const { return plain_size_; }
    // The place in the encrypted file where the next segment belongs.
    uint64_t end() const { return end_; }
    // The highest place that a segment claims as durable.
    uint64_t durable() const { return durable_; }
    // A seal is the last segment.
    bool sealed() const { return sealed_; }
    // All data segments but the last are full, with nothing between them.
    bool is_uniform() const { return uniform_; }

    // The piece that has the byte at `offset`. REQUIRES: offset < plain_size().
    Piece piece_at(uint64_t offset) const;

  private:
    void cut(uint64_t plain_offset);
    void become_walked();

    uint64_t plain_size_ = 0;
    uint64_t end_ = file_header_bytes;
    uint64_t durable_ = 0;
    bool sealed_ = false;
    bool uniform_ = true;
    // Empty while the file is uniform.
    std::vector<Piece> pieces_;
};

// None: the file has no header and nothing that was ever durable; a power loss left it so, or it
// was just made. Errors as decode_file_header.
absl::StatusOr<std::optional<FileHeader>> read_file_header(const RandomAccessFile& file,
                                                           uint64_t size,
                                                           const std::string& path);

// data_loss names `path` and the place in the encrypted file.
absl::StatusOr<Layout> find_layout(const RandomAccessFile& file,
                                   uint64_t size,
                                   SegmentOpener& opener,
                                   const std::string& path);

absl::Status segment_damaged(const std::string& path, uint64_t position, std::string_view why);

}  // namespace starling::env
