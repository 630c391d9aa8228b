#pragma once

// Writes a table file from entries in order. Nothing names the file before finish() is OK; a
// builder that is destroyed earlier removes what it wrote.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/block_builder.h"
#include "storage/lsm/bloom_filter.h"
#include "storage/lsm/stored_value.h"
#include "storage/lsm/table_format.h"
#include "storage/lsm/table_metadata.h"
#include "storage/lsm/warm_blocks.h"
#include "storage/options.h"

namespace starling::storage::lsm {

class TableBuilder {
  public:
    // `warm` is told of each block of entries.
    static absl::StatusOr<std::unique_ptr<TableBuilder>> create(env::FileSystem& files,
                                                                const std::string& directory,
                                                                uint64_t number,
                                                                const EngineOptions& options,
                                                                WarmBlocks* warm = nullptr,
                                                                bool is_streamed = false);
    ~TableBuilder();
    TableBuilder(const TableBuilder&) = delete;
    TableBuilder& operator=(const TableBuilder&) = delete;

    // REQUIRES: internal keys in ascending order.
    absl::Status add(std::string_view key, std::string_view value);
    // Completes and syncs the file; the directory is the caller's to sync. REQUIRES: at least one
    // entry.
    absl::StatusOr<TableMetadata> finish();

    // Of the file so far.
    uint64_t file_bytes() const { return offset_ + buffer_.size() + block_.size(); }

  private:
    TableBuilder(env::FileSystem& files,
                 std::string path,
                 uint64_t number,
                 const EngineOptions& options,
                 WarmBlocks* warm,
                 std::unique_ptr<env::WritableFile> file);

    bool is_of_another_kind(std::string_view key) const;
    absl::Status note_value(ChangeKind kind, std::string_view stored);
    void end_block();
    BlockHandle put_block(std::string_view content, Compression compression);
    absl::Status write_buffer();

    // Constant after construction.
    env::FileSystem& files_;
    const std::string path_;
    const EngineOptions options_;
    WarmBlocks* const warm_;

    std::unique_ptr<env::WritableFile> file_;
    // Bytes given to the file, and those that follow.
    uint64_t offset_ = 0;
    std::string buffer_;
    BlockBuilder block_;
    BlockBuilder index_;
    BloomFilterBuilder filter_;
    std::string last_key_;
    TableMetadata metadata_;
    bool all_expire_ = true;
    std::map<uint64_t, uint64_t> value_bytes_;
};

}  // namespace starling::storage::lsm
