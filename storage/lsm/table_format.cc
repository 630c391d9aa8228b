#include "storage/lsm/table_format.h"

#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/status_macros.h"

namespace starling::storage::lsm {

namespace {

constexpr uint64_t table_magic = 0x656c626174737453;
constexpr uint32_t table_format_version = 1;
constexpr size_t raw_size_bytes = 4;
// No LZ4 block expands to more.
constexpr uint64_t lz4_ratio_max = 255;

uint32_t block_checksum(std::string_view content_and_type, uint64_t file_number, uint64_t offset) {
    char place[16];
    std::memcpy(place, &file_number, 8);
    std::memcpy(place + 8, &offset, 8);
    return base::crc32c_extend(base::crc32c({place, sizeof(place)}), content_and_type);
}

// Blocks are small: level 3 is where more effort begins to save nothing.
constexpr int zstd_level = 3;

// A context takes longer to make than a block to compress.
ZSTD_CCtx& zstd_packer() {
    struct Free {
        void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    };
    thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
    return *context;
}
ZSTD_DCtx& zstd_unpacker() {
    struct Free {
        void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
    };
    thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
    return *context;
}

// Raw size and a frame; false when that saves too little.
bool append_zstd(std::string& out, std::string_view content) {
    const size_t begin = out.size();
    const size_t bound = ZSTD_compressBound(content.size());
    base::put_u32(out, static_cast<uint32_t>(content.size()));
    out.resize(begin + raw_size_bytes + bound);
    const size_t size = ZSTD_compressCCtx(&zstd_packer(),
                                          out.data() + begin + raw_size_bytes,
                                          bound,
                                          content.data(),
                                          content.size(),
                                          zstd_level);
    if (ZSTD_isError(size) != 0 || raw_size_bytes + size > content.size() - content.size() / 8) {
        out.resize(begin);
        return false;
    }
    out.resize(begin + raw_size_bytes + size);
    return true;
}

bool unpack_zstd(std::string_view packed, std::string& content) {
    base::Reader reader(packed);
    const uint32_t raw_size = reader.u32();
    const std::string_view frame = reader.rest();
    // The frame says it once more, so nobody's word is enough to take much memory.
    if (reader.failed() || raw_size > block_bytes_max ||
        ZSTD_getFrameContentSize(frame.data(), frame.size()) != raw_size) {
        return false;
    }
    content.resize(raw_size);
    return ZSTD_decompressDCtx(
               &zstd_unpacker(), content.data(), raw_size, frame.data(), frame.size()) == raw_size;
}

// Raw size and compressed bytes; false when that saves too little.
bool append_lz4(std::string& out, std::string_view content) {
    const size_t begin = out.size();
    const int bound = LZ4_compressBound(static_cast<int>(content.size()));
    base::put_u32(out, static_cast<uint32_t>(content.size()));
    out.resize(begin + raw_size_bytes + static_cast<size_t>(bound));
    const int size = LZ4_compress_default(content.data(),
                                          out.data() + begin + raw_size_bytes,
                                          static_cast<int>(content.size()),
                                          bound);
    if (size <= 0 ||
        raw_size_bytes + static_cast<size_t>(size) > content.size() - content.size() / 8) {
        out.resize(begin);
        return false;
    }
    out.resize(begin + raw_size_bytes + static_cast<size_t>(size));
    return true;
}

bool unpack_lz4(std::string_view packed, std::string& content) {
    base::Reader reader(packed);
    const uint32_t raw_size = reader.u32();
    if (reader.failed() || raw_size > block_bytes_max ||
        raw_size > reader.rest().size() * lz4_ratio_max + 64) {
        return false;
    }
    content.resize(raw_size);
    const int size = LZ4_decompress_safe(reader.rest().data(),
                                         content.data(),
                                         static_cast<int>(reader.rest().size()),
                                         static_cast<int>(raw_size));
    return size >= 0 && static_cast<uint32_t>(size) == raw_size;
}

}  // namespace

bool lies_before(const BlockHandle& handle, uint64_t end) {
    return handle.size <= block_bytes_max && handle.offset <= end &&
           handle.size + block_trailer_bytes <= end - handle.offset;
}

std::string encode_block_handle(const BlockHandle& handle) {
    std::string bytes;
    base::put_varint(bytes, handle.offset);
    base::put_varint(bytes, handle.size);
    return bytes;
}

bool decode_block_handle(std::string_view bytes, BlockHandle& handle) {
    base::Reader reader(bytes);
    handle.offset = reader.varint();
    handle.size = reader.varint();
    return reader.finished() && handle.size <= block_bytes_max;
}

std::string encode_table_footer(const TableFooter& footer, uint64_t file_number) {
    std::string bytes;
    base::put_u64(bytes, footer.filter.offset);
    base::put_u64(bytes, footer.filter.size);
    base::put_u64(bytes, footer.index.offset);
    base::put_u64(bytes, footer.index.size);
    base::put_u64(bytes, footer.entry_count);
    base::put_u64(bytes, file_number);
    base::put_u32(bytes, table_format_version);
    base::put_u32(bytes, base::crc32c(bytes));
    base::put_u64(bytes, table_magic);
    return bytes;
}

absl::StatusOr<TableFooter> decode_table_footer(std::string_view bytes,
                                                uint64_t file_number,
                                                uint64_t file_size) {
    absl::Status damaged = absl::DataLossError("the footer of a table is damaged");
    if (bytes.size() != table_footer_bytes || file_size < table_footer_bytes) {
        return damaged;
    }
    base::Reader reader(bytes);
    TableFooter footer;
    footer.filter.offset = reader.u64();
    footer.filter.size = reader.u64();
    footer.index.offset = reader.u64();
    footer.index.size = reader.u64();
    footer.entry_count = reader.u64();
    const uint64_t number = reader.u64();
    const uint32_t version = reader.u32();
    const uint32_t checksum = reader.u32();
    if (reader.u64() != table_magic || checksum != base::crc32c(bytes.substr(0, 52)) ||
        version != table_format_version || number != file_number) {
        return damaged;
    }
    const uint64_t blocks_end = file_size - table_footer_bytes;
    const bool has_filter = footer.filter != BlockHandle();
    if (!lies_before(footer.index, blocks_end) ||
        (has_filter && !lies_before(footer.filter, blocks_end))) {
        return damaged;
    }
    return footer;
}

uint64_t append_block(std::string& out,
                      std::string_view content,
                      Compression compression,
                      uint64_t file_number,
                      uint64_t offset) {
    const size_t begin = out.size();
    Compression used = Compression::none;
    if (compression == Compression::lz4 && append_lz4(out, content)) {
        used = Compression::lz4;
    } else if (compression == Compression::zstd && append_zstd(out, content)) {
        used = Compression::zstd;
    } else {
        out.append(content);
    }
    const uint64_t size = out.size() - begin;
    base::put_u8(out, static_cast<uint8_t>(used));
    base::put_u32(out, block_checksum(std::string_view(out).substr(begin), file_number, offset));
    return size;
}

absl::StatusOr<std::string> unpack_block(std::string_view stored,
                                         uint64_t file_number,
                                         uint64_t offset,
                                         const std::string& path) {
    std::string content;
    STARLING_RETURN_IF_ERROR(unpack_block(stored, file_number, offset, path, content));
    return content;
}

absl::Status unpack_block(std::string_view stored,
                          uint64_t file_number,
                          uint64_t offset,
                          const std::string& path,
                          std::string& content) {
    const auto damaged = [&] {
        return absl::DataLossError(
            fmt::format("{}: at offset {}: a block is damaged", path, offset));
    };
    if (stored.size() < block_trailer_bytes) {
        return damaged();
    }
    const std::string_view covered = stored.substr(0, stored.size() - 4);
    base::Reader trailer(stored.substr(covered.size()));
    if (trailer.u32() != block_checksum(covered, file_number, offset)) {
        return damaged();
    }
    const auto used = static_cast<uint8_t>(covered.back());
    const std::string_view packed = covered.substr(0, covered.size() - 1);
    if (used == static_cast<uint8_t>(Compression::none)) {
        content.assign(packed);
        return absl::OkStatus();
    }
    const bool unpacked =
        (used == static_cast<uint8_t>(Compression::lz4) && unpack_lz4(packed, content)) ||
        (used == static_cast<uint8_t>(Compression::zstd) && unpack_zstd(packed, content));
    return unpacked ? absl::OkStatus() : damaged();
}

}  // namespace starling::storage::lsm
