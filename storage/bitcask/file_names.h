#pragma once

// The names in a data directory of this engine (docs/formats/bitcask.md). Data files and hints of
// one number belong together.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/log/log_start.h"

namespace starling::storage::bitcask {

enum class FileKind : uint8_t { data, hint, temporary };

struct FileName {
    FileKind kind;
    // 0 of temporary files.
    uint64_t number;
};

std::string data_path(const std::string& directory, uint64_t number);
std::string hint_path(const std::string& directory, uint64_t number);
std::string list_path(const std::string& directory);

// The files that are being written are the log.
inline constexpr LogNaming log_naming{.kind = RecordFileKind::data, .path = data_path};

// nullopt: not a file of ours that comes and goes.
std::optional<FileName> parse_file_name(std::string_view name);

}  // namespace starling::storage::bitcask
