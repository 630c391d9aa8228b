#include "storage/lsm/table.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/lsm/bloom_filter.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

constexpr size_t kept_buffer_bytes_max = 64u << 10;

absl::Status read_exactly(const env::RandomAccessFile& file,
                          const std::string& path,
                          uint64_t offset,
                          size_t count,
                          std::string& bytes) {
    bytes.resize(count);
    STARLING_ASSIGN_OR_RETURN(const size_t got, file.read(offset, count, bytes.data()));
    if (got != count) {
        return absl::DataLossError(
            fmt::format("{}: at offset {}: {} bytes where {} should be", path, offset, got, count));
    }
    return absl::OkStatus();
}

// A block on its way from the file into memory.
struct BlockBuffers {
    std::string stored;
    std::string content;
};

absl::Status read_block_content(const env::RandomAccessFile& file,
                                const std::string& path,
                                uint64_t number,
                                const BlockHandle& handle,
                                BlockBuffers& buffers) {
    STARLING_RETURN_IF_ERROR(
        read_exactly(file, path, handle.offset, handle.size + block_trailer_bytes, buffers.stored));
    return unpack_block(buffers.stored, number, handle.offset, path, buffers.content);
}

std::string place(const std::string& path, uint64_t offset) {
    return fmt::format("{}: at offset {}", path, offset);
}

absl::StatusOr<BlockPtr> read_block(const env::RandomAccessFile& file,
                                    const std::string& path,
                                    uint64_t number,
                                    const BlockHandle& handle,
                                    BlockBuffers& buffers) {
    STARLING_RETURN_IF_ERROR(read_block_content(file, path, number, handle, buffers));
    BlockPtr block = Block::make(buffers.content);
    if (!block) {
        return absl::DataLossError(
            fmt::format("{}: a block is damaged", place(path, handle.offset)));
    }
    return block;
}

// Each thread keeps its buffers, unless a block is huge: making and clearing them anew costs more
// than unpacking does.
absl::StatusOr<BlockPtr> read_data_block(const env::RandomAccessFile& file,
                                         const std::string& path,
                                         uint64_t number,
                                         const BlockHandle& handle) {
    thread_local BlockBuffers buffers;
    absl::StatusOr<BlockPtr> block = read_block(file, path, number, handle, buffers);
    if (buffers.stored.capacity() + buffers.content.capacity() > kept_buffer_bytes_max) {
        buffers = {};
    }
    return block;
}

}  // namespace

LookupKey::LookupKey(std::string_view key, Sequence sequence)
    : user_key(key), tag(seek_tag(sequence)), hash(bloom_hash(key)) {}

Table::Table(std::unique_ptr<env::RandomAccessFile> file,
             std::unique_ptr<env::RandomAccessFile> direct_file,
             std::string path,
             uint64_t number,
             TableIndex index,
             std::string filter,
             BlockCache& cache)
    : file_(std::move(file)),
      direct_file_(std::move(direct_file)),
      path_(std::move(path)),
      number_(number),
      index_(std::move(index)),
      filter_(std::move(filter)),
      cache_(cache) {}

absl::StatusOr<std::shared_ptr<const Table>> Table::open(env::FileSystem& files,
                                                         const std::string& directory,
                                                         const TableMetadata& metadata,
                                                         BlockCache& cache,
                                                         FileReads reads) {
    const std::string path = table_path(directory, metadata.number);
    auto opened = files.open_for_read(path);
    if (absl::IsNotFound(opened.status())) {
        STARLING_MARK(table_missing);
        return missing_file(path);
    }
    STARLING_ASSIGN_OR_RETURN(auto file, std::move(opened));
    if (reads == FileReads::anew) {
        file->forget_pages();
    }
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    if (size != metadata.file_bytes || size < table_footer_bytes) {
        return wrong_size(path, size, metadata.file_bytes);
    }
    const uint64_t footer_offset = size - table_footer_bytes;
    BlockBuffers buffers;
    STARLING_RETURN_IF_ERROR(
        read_exactly(*file, path, footer_offset, table_footer_bytes, buffers.stored));
    const auto footer = decode_table_footer(buffers.stored, metadata.number, size);
    if (!footer.ok() || footer->entry_count != metadata.entry_count) {
        STARLING_MARK(table_footer_damaged);
        return absl::DataLossError(
            fmt::format("{}: the footer is damaged", place(path, footer_offset)));
    }
    STARLING_ASSIGN_OR_RETURN(BlockPtr index_block,
                              read_block(*file, path, metadata.number, footer->index, buffers));
    std::optional<TableIndex> index = TableIndex::make(std::move(index_block), footer_offset);
    if (!index.has_value()) {
        return absl::DataLossError(
            fmt::format("{}: the index is damaged", place(path, footer->index.offset)));
    }
    std::string filter;
    if (footer->filter != BlockHandle()) {
        STARLING_RETURN_IF_ERROR(
            read_block_content(*file, path, metadata.number, footer->filter, buffers));
        // A copy, of no more bytes than it has.
        filter = buffers.content;
    }
    std::unique_ptr<env::RandomAccessFile> direct_file;
    if (reads == FileReads::direct) {
        STARLING_ASSIGN_OR_RETURN(direct_file, files.open_for_direct_read(path));
    }
    return std::shared_ptr<const Table>(new Table(std::move(file),
                                                  std::move(direct_file),
                                                  path,
                                                  metadata.number,
                                                  *std::move(index),
                                                  std::move(filter),
                                                  cache));
}

absl::StatusOr<BlockPtr> Table::read(const env::RandomAccessFile& file,
                                     size_t index,
                                     ReadMode mode,
                                     ReadTally* tally) const {
    const BlockHandle handle = index_.handle(index);
    BlockPtr cached = mode == ReadMode::once ? cache_.peek(number_, handle.offset)
                                             : cache_.find(number_, handle.offset);
    if (cached) {
        if (tally != nullptr) {
            ++tally->found;
        }
        return cached;
    }
    if (tally != nullptr) {
        ++tally->read;
    }
    if (mode == ReadMode::memory_only) {
        return absl::UnavailableError("not in memory");
    }
    STARLING_ASSIGN_OR_RETURN(BlockPtr block, read_data_block(file, path_, number_, handle));
    if (mode == ReadMode::cached) {
        cache_.insert(number_, handle.offset, block);
    }
    return block;
}

absl::StatusOr<bool> Table::get(const LookupKey& key, ReadMode mode, FoundEntry& found) const {
    if (!bloom_may_contain(filter_, key.hash)) {
        return false;
    }
    const size_t index = index_.find(key.user_key, key.tag);
    if (index == index_.block_count()) {
        return false;
    }
    const env::RandomAccessFile& file = direct_file_ != nullptr ? *direct_file_ : *file_;
    STARLING_ASSIGN_OR_RETURN(const BlockPtr block, read(file, index, mode));
    std::string_view value;
    if (!block->find(key.user_key, key.tag, found.tag, value)) {
        return false;
    }
    found.value.assign(value);
    return true;
}

absl::StatusOr<BlockPtr> Table::read_from_file(size_t index) const {
    return read_data_block(*file_, path_, number_, index_.handle(index));
}

uint64_t Table::approximate_offset(std::string_view user_key) const {
    const size_t index = index_.find(user_key, seek_tag(sequence_max));
    if (index < index_.block_count()) {
        return index_.handle(index).offset;
    }
    const BlockHandle last = index_.handle(index - 1);
    return last.offset + last.size;
}

void Table::forget_blocks() const {
    for (size_t index = 0; index < index_.block_count(); ++index) {
        cache_.forget(number_, index_.handle(index).offset);
    }
}

void TableIterator::reset(std::shared_ptr<const Table> table,
                          std::unique_ptr<env::RandomAccessFile> file) {
    table_ = std::move(table);
    file_ = std::move(file);
    status_ = absl::OkStatus();
    block_.reset({});
}

void TableIterator::seek_to_first() {
    if (enter(0, Way::forward)) {
        block_.seek_to_first();
    }
}

void TableIterator::seek_to_last() {
    if (enter(table_->index_.block_count() - 1, Way::backward)) {
        block_.seek_to_last();
    }
}

void TableIterator::seek(std::string_view internal_key) {
    if (enter(table_->index_.find(user_key_of(internal_key), tag_of(internal_key)), Way::forward)) {
        block_.seek(internal_key);
        if (!block_.valid()) {
            enter_next();
        }
    }
}

void TableIterator::enter_next() {
    if (enter(index_ + 1, Way::forward)) {
        block_.seek_to_first();
    }
}

void TableIterator::enter_previous() {
    if (enter(index_ - 1, Way::backward)) {
        block_.seek_to_last();
    }
}

bool TableIterator::lies_behind(size_t index) const {
    return !upper_.empty() && user_key_of(table_->index_.last_key(index)).substr(0, 1) >= upper_;
}

bool TableIterator::enter(size_t index, Way way) {
    index_ = index;
    status_ = absl::OkStatus();
    passed_over_ = absl::OkStatus();
    block_.reset({});
    if (index >= table_->index_.block_count()) {
        return false;
    }
    absl::StatusOr<BlockPtr> block = absl::UnavailableError("no file of our own");
    if (file_ != nullptr) {
        block = table_->read(*file_, index, mode_, tally_);
        if (!block.ok()) {
            STARLING_MARK(table_read_in_passing_again);
        }
    }
    if (!block.ok()) {
        block = table_->read(*table_->file_, index, mode_, tally_);
    }
    if (!block.ok()) {
        if (way == Way::forward && lies_behind(index)) {
            STARLING_MARK(table_block_unreadable_behind_the_end);
            passed_over_ = block.status();
        } else {
            STARLING_MARK(table_block_unreadable_in_iteration);
            status_ = block.status();
        }
        return false;
    }
    block_.reset(*std::move(block));
    return true;
}

}  // namespace starling::storage::lsm
