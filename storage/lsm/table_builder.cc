#include "storage/lsm/table_builder.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

constexpr size_t restart_interval = 16;
// An index is searched far more often than it is read through.
constexpr size_t index_restart_interval = 1;
constexpr size_t write_bytes = 256u << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<TableBuilder>> TableBuilder::create(env::FileSystem& files,
                                                                   const std::string& directory,
                                                                   uint64_t number,
                                                                   const EngineOptions& options,
                                                                   WarmBlocks* warm,
                                                                   bool is_streamed) {
    std::string path = table_path(directory, number);
    STARLING_ASSIGN_OR_RETURN(auto file,
                              is_streamed ? files.create_streamed(path) : files.create(path));
    return std::unique_ptr<TableBuilder>(
        new TableBuilder(files, std::move(path), number, options, warm, std::move(file)));
}

TableBuilder::TableBuilder(env::FileSystem& files,
                           std::string path,
                           uint64_t number,
                           const EngineOptions& options,
                           WarmBlocks* warm,
                           std::unique_ptr<env::WritableFile> file)
    : files_(files),
      path_(std::move(path)),
      options_(options),
      warm_(warm),
      file_(std::move(file)),
      block_(restart_interval),
      index_(index_restart_interval),
      filter_(options.filter_bits_per_key) {
    metadata_.number = number;
}

TableBuilder::~TableBuilder() {
    if (file_ != nullptr) {
        file_.reset();
        // What cannot be removed now is an orphan, which the next start removes.
        files_.remove(path_).IgnoreError();
    }
}

absl::Status TableBuilder::add(std::string_view key, std::string_view value) {
    STARLING_CHECK(metadata_.entry_count == 0 || compare_internal(last_key_, key) < 0);
    const uint64_t tag = tag_of(key);
    if (metadata_.entry_count == 0) {
        metadata_.smallest = key;
        metadata_.smallest_sequence = sequence_max;
        metadata_.largest_sequence = 0;
    }
    ++metadata_.entry_count;
    metadata_.smallest_sequence = std::min(metadata_.smallest_sequence, sequence_of_tag(tag));
    metadata_.largest_sequence = std::max(metadata_.largest_sequence, sequence_of_tag(tag));
    if (kind_of_tag(tag) == ChangeKind::remove) {
        ++metadata_.removal_count;
    }
    STARLING_RETURN_IF_ERROR(note_value(kind_of_tag(tag), value));
    if (options_.kinds_apart && !block_.empty() && is_of_another_kind(key)) {
        end_block();
    }
    filter_.add(user_key_of(key));
    block_.add(key, value);
    last_key_.assign(key);
    if (block_.size() >= options_.block_bytes) {
        end_block();
    }
    return buffer_.size() >= write_bytes ? write_buffer() : absl::OkStatus();
}

bool TableBuilder::is_of_another_kind(std::string_view key) const {
    return user_key_of(key).substr(0, 1) != user_key_of(last_key_).substr(0, 1);
}

// A removal does not keep a table alive: a table that goes as a whole hides nothing.
absl::Status TableBuilder::note_value(ChangeKind kind, std::string_view stored) {
    if (kind == ChangeKind::put) [[likely]] {
        all_expire_ = false;
        return absl::OkStatus();
    }
    if (kind == ChangeKind::remove) {
        return absl::OkStatus();
    }
    const auto view = view_value(kind, stored);
    if (!view.has_value()) {
        return absl::DataLossError(fmt::format("{}: a value is not what its kind says", path_));
    }
    if (view->expiry == never) {
        all_expire_ = false;
    }
    metadata_.latest_expiry = std::max(metadata_.latest_expiry, view->expiry);
    if (view->is_separate) {
        const ValuePointer pointer = *decode_value_pointer(stored);
        value_bytes_[pointer.file] += pointer.record_bytes();
    }
    return absl::OkStatus();
}

void TableBuilder::end_block() {
    const std::string_view content = block_.finish();
    const BlockHandle handle = put_block(content, options_.compression);
    if (warm_ != nullptr) {
        warm_->written(metadata_.number, handle.offset, content);
    }
    block_.reset();
    index_.add(last_key_, encode_block_handle(handle));
}

BlockHandle TableBuilder::put_block(std::string_view content, Compression compression) {
    BlockHandle handle{.offset = offset_ + buffer_.size(), .size = 0};
    handle.size = append_block(buffer_, content, compression, metadata_.number, handle.offset);
    return handle;
}

absl::Status TableBuilder::write_buffer() {
    STARLING_RETURN_IF_ERROR(file_->append(buffer_));
    offset_ += buffer_.size();
    buffer_.clear();
    return absl::OkStatus();
}

absl::StatusOr<TableMetadata> TableBuilder::finish() {
    STARLING_CHECK(metadata_.entry_count > 0);
    if (!block_.empty()) {
        end_block();
    }
    TableFooter footer{.filter = {}, .index = {}, .entry_count = metadata_.entry_count};
    if (const std::string filter = filter_.finish(); !filter.empty()) {
        footer.filter = put_block(filter, Compression::none);
    }
    footer.index = put_block(index_.finish(), options_.compression);
    buffer_.append(encode_table_footer(footer, metadata_.number));
    STARLING_RETURN_IF_ERROR(write_buffer());
    STARLING_RETURN_IF_ERROR(file_->sync());
    STARLING_RETURN_IF_ERROR(file_->close());
    file_.reset();
    metadata_.file_bytes = offset_;
    metadata_.largest = last_key_;
    if (!all_expire_) {
        metadata_.latest_expiry = never;
    }
    for (const auto& [file, bytes] : value_bytes_) {
        metadata_.value_references.push_back({.file = file, .bytes = bytes});
    }
    return metadata_;
}

}  // namespace starling::storage::lsm
