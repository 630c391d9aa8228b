#include "storage/lsm/table.h"

#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/lsm/bloom_filter.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

absl::StatusOr<std::string> read_exactly(const env::RandomAccessFile& file,
                                         const std::string& path,
                                         uint64_t offset,
                                         size_t count) {
    std::string bytes(count, '\0');
    STARLING_ASSIGN_OR_RETURN(const size_t got, file.read(offset, count, bytes.data()));
    if (got != count) {
        return absl::DataLossError(
            fmt::format("{}: at offset {}: {} bytes where {} should be", path, offset, got, count));
    }
    return bytes;
}

absl::StatusOr<std::string> read_block_content(const env::RandomAccessFile& file,
                                               const std::string& path,
                                               uint64_t number,
                                               const BlockHandle& handle) {
    STARLING_ASSIGN_OR_RETURN(
        std::string stored,
        read_exactly(file, path, handle.offset, handle.size + block_trailer_bytes));
    return unpack_block(std::move(stored), number, handle.offset, path);
}

std::string place(const std::string& path, uint64_t offset) {
    return fmt::format("{}: at offset {}", path, offset);
}

}  // namespace

LookupKey::LookupKey(std::string_view user_key, Sequence sequence)
    : internal_key(make_internal_key(user_key, seek_tag(sequence))), hash(bloom_hash(user_key)) {}

Table::Table(std::unique_ptr<env::RandomAccessFile> file,
             std::string path,
             uint64_t number,
             std::shared_ptr<const Block> index,
             std::string filter,
             BlockCache& cache)
    : file_(std::move(file)),
      path_(std::move(path)),
      number_(number),
      index_(std::move(index)),
      filter_(std::move(filter)),
      cache_(cache) {}

absl::StatusOr<std::shared_ptr<const Table>> Table::open(env::FileSystem& files,
                                                         const std::string& directory,
                                                         const TableMetadata& metadata,
                                                         BlockCache& cache) {
    const std::string path = table_path(directory, metadata.number);
    STARLING_ASSIGN_OR_RETURN(auto file, files.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    if (size != metadata.file_bytes || size < table_footer_bytes) {
        return absl::DataLossError(fmt::format(
            "{}: has {} bytes, but was written with {}", path, size, metadata.file_bytes));
    }
    const uint64_t footer_offset = size - table_footer_bytes;
    STARLING_ASSIGN_OR_RETURN(const std::string footer_bytes,
                              read_exactly(*file, path, footer_offset, table_footer_bytes));
    const auto footer = decode_table_footer(footer_bytes, metadata.number, size);
    if (!footer.ok() || footer->entry_count != metadata.entry_count) {
        return absl::DataLossError(
            fmt::format("{}: the footer is damaged", place(path, footer_offset)));
    }
    STARLING_ASSIGN_OR_RETURN(std::string index_content,
                              read_block_content(*file, path, metadata.number, footer->index));
    STARLING_ASSIGN_OR_RETURN(
        auto index, Block::make(std::move(index_content), place(path, footer->index.offset)));
    std::string filter;
    if (footer->filter != BlockHandle()) {
        STARLING_ASSIGN_OR_RETURN(filter,
                                  read_block_content(*file, path, metadata.number, footer->filter));
    }
    return std::shared_ptr<const Table>(new Table(
        std::move(file), path, metadata.number, std::move(index), std::move(filter), cache));
}

absl::StatusOr<std::shared_ptr<const Block>> Table::read(std::string_view handle_bytes,
                                                         ReadMode mode) const {
    BlockHandle handle;
    if (!decode_block_handle(handle_bytes, handle)) {
        return absl::DataLossError(fmt::format("{}: the index is damaged", path_));
    }
    if (std::shared_ptr<const Block> block = cache_.find(number_, handle.offset)) {
        return block;
    }
    if (mode == ReadMode::memory_only) {
        return absl::UnavailableError("not in memory");
    }
    STARLING_ASSIGN_OR_RETURN(std::string content,
                              read_block_content(*file_, path_, number_, handle));
    STARLING_ASSIGN_OR_RETURN(auto block,
                              Block::make(std::move(content), place(path_, handle.offset)));
    if (mode == ReadMode::cached) {
        cache_.insert(number_, handle.offset, block);
    }
    return block;
}

absl::StatusOr<bool> Table::get(const LookupKey& key, ReadMode mode, FoundEntry& found) const {
    if (!bloom_may_contain(filter_, key.hash)) {
        return false;
    }
    BlockIterator index(index_);
    index.seek(key.internal_key);
    if (!index.valid()) {
        STARLING_RETURN_IF_ERROR(index.status());
        return false;
    }
    STARLING_ASSIGN_OR_RETURN(auto block, read(index.value(), mode));
    BlockIterator entry(std::move(block));
    entry.seek(key.internal_key);
    if (!entry.valid()) {
        STARLING_RETURN_IF_ERROR(entry.status());
        return false;
    }
    if (user_key_of(entry.key()) != key.user_key()) {
        return false;
    }
    found.tag = tag_of(entry.key());
    found.value.assign(entry.value());
    return true;
}

uint64_t Table::approximate_offset(std::string_view user_key) const {
    BlockIterator index(index_);
    index.seek(make_internal_key(user_key, seek_tag(sequence_max)));
    BlockHandle handle;
    if (index.valid() && decode_block_handle(index.value(), handle)) {
        return handle.offset;
    }
    index.seek_to_last();
    return index.valid() && decode_block_handle(index.value(), handle) ? handle.offset + handle.size
                                                                       : 0;
}

// An iterator over the index, and one over the block it points to.
class TableIterator final : public InternalIterator {
  public:
    TableIterator(std::shared_ptr<const Table> table, ReadMode mode)
        : table_(std::move(table)), mode_(mode), index_(table_->index_) {}

    bool valid() const override { return block_.valid(); }
    void seek_to_first() override {
        index_.seek_to_first();
        load_block();
        if (has_block_) {
            block_.seek_to_first();
        }
        skip_forward();
    }
    void seek_to_last() override {
        index_.seek_to_last();
        load_block();
        if (has_block_) {
            block_.seek_to_last();
        }
        skip_backward();
    }
    void seek(std::string_view internal_key) override {
        index_.seek(internal_key);
        load_block();
        if (has_block_) {
            block_.seek(internal_key);
        }
        skip_forward();
    }
    void next() override {
        block_.next();
        skip_forward();
    }
    void previous() override {
        block_.previous();
        skip_backward();
    }
    std::string_view key() const override { return block_.key(); }
    std::string_view value() const override { return block_.value(); }
    absl::Status status() const override { return status_; }

  private:
    void load_block() {
        status_ = index_.status();
        has_block_ = false;
        block_ = BlockIterator();
        if (!index_.valid()) {
            return;
        }
        auto block = table_->read(index_.value(), mode_);
        if (!block.ok()) {
            status_ = block.status();
            return;
        }
        block_ = BlockIterator(*std::move(block));
        has_block_ = true;
    }

    // False when the block ended without error, so that the neighbour comes next.
    bool block_settled() {
        if (!has_block_ || block_.valid()) {
            return true;
        }
        status_ = block_.status();
        return !status_.ok();
    }
    void skip_forward() {
        while (!block_settled()) {
            index_.next();
            load_block();
            if (has_block_) {
                block_.seek_to_first();
            }
        }
    }
    void skip_backward() {
        while (!block_settled()) {
            index_.previous();
            load_block();
            if (has_block_) {
                block_.seek_to_last();
            }
        }
    }

    const std::shared_ptr<const Table> table_;
    const ReadMode mode_;
    BlockIterator index_;
    BlockIterator block_;
    bool has_block_ = false;
    absl::Status status_;
};

std::unique_ptr<InternalIterator> Table::new_iterator(ReadMode mode) const {
    return std::make_unique<TableIterator>(shared_from_this(), mode);
}

}  // namespace starling::storage::lsm
