#pragma once

// The names in a data directory (docs/formats/data_directory.md). Numbers come from one counter and
// are never used twice while anything durable may still name them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "storage/log/log_start.h"

namespace starling::storage::lsm {

enum class FileKind : uint8_t { log, table, value_file, manifest, temporary };

struct FileName {
    FileKind kind;
    // 0 of temporary files.
    uint64_t number;
};

std::string log_path(const std::string& directory, uint64_t number);
std::string table_path(const std::string& directory, uint64_t number);
std::string value_file_path(const std::string& directory, uint64_t number);
std::string manifest_path(const std::string& directory, uint64_t number);
std::string current_path(const std::string& directory);

inline constexpr LogNaming log_naming{.kind = RecordFileKind::log, .path = log_path};

// data_loss: how a file is not as the manifest says.
absl::Status missing_file(const std::string& path);
absl::Status wrong_size(const std::string& path, uint64_t bytes, uint64_t expected);

// nullopt: not a file of ours that comes and goes.
std::optional<FileName> parse_file_name(std::string_view name);

}  // namespace starling::storage::lsm
