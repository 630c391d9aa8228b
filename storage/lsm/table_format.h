#pragma once

// The parts of a table file (docs/formats/table.md) and how a block becomes bytes. The checksum of
// a block covers the number of its file and its offset, so a block that lies where another belongs
// is damage, not data.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "storage/options.h"

namespace starling::storage::lsm {

// Where a block is; `size` without its trailer. {0, 0} is none.
struct BlockHandle {
    uint64_t offset = 0;
    uint64_t size = 0;

    friend bool operator==(const BlockHandle&, const BlockHandle&) = default;
};

// Compression and checksum, after each block.
inline constexpr size_t block_trailer_bytes = 5;
// Holds the largest value with its key, and the index of a table of large keys.
inline constexpr uint64_t block_bytes_max = 1u << 30;

struct TableFooter {
    BlockHandle filter;
    BlockHandle index;
    uint64_t entry_count = 0;
};
inline constexpr size_t table_footer_bytes = 64;

// Whether the block, with its trailer, lies before `end`.
bool lies_before(const BlockHandle& handle, uint64_t end);

std::string encode_block_handle(const BlockHandle& handle);
// nullopt-like: false when the bytes are no handle.
bool decode_block_handle(std::string_view bytes, BlockHandle& handle);

std::string encode_table_footer(const TableFooter& footer, uint64_t file_number);
// data_loss: not a footer of table `file_number` whose file has `file_size` bytes.
absl::StatusOr<TableFooter> decode_table_footer(std::string_view bytes,
                                                uint64_t file_number,
                                                uint64_t file_size);

// Appends block and trailer to `out`; the block will stand at `offset`. Stays uncompressed where
// compression saves less than an eighth. Returns the size without the trailer.
uint64_t append_block(std::string& out,
                      std::string_view content,
                      Compression compression,
                      uint64_t file_number,
                      uint64_t offset);
// Checks and unpacks what append_block() wrote. data_loss, naming `path` and offset.
absl::StatusOr<std::string> unpack_block(std::string_view stored,
                                         uint64_t file_number,
                                         uint64_t offset,
                                         const std::string& path);
// The same into a buffer that is there already; after an error it holds anything.
absl::Status unpack_block(std::string_view stored,
                          uint64_t file_number,
                          uint64_t offset,
                          const std::string& path,
                          std::string& content);

}  // namespace starling::storage::lsm
