#pragma once

// The file FILES: which data files are complete, and where the log of changes goes on behind them
// (docs/formats/bitcask.md). It is replaced as a whole, so a merge takes effect at one moment.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/version_edit.h"

namespace starling::storage::bitcask {

struct ListedFile {
    uint64_t number = 0;
    uint64_t bytes = 0;
    // Written by a merge; its records are not part of the log.
    bool merged = false;

    friend bool operator==(const ListedFile&, const ListedFile&) = default;
};

struct FileList {
    // Ascending numbers.
    std::vector<ListedFile> files;
    // Number 0: there is no log file, as in a checkpoint.
    LogStart log;

    friend bool operator==(const FileList&, const FileList&) = default;
};

std::string encode_file_list(const FileList& list);
// nullopt: not what encode_file_list() makes.
std::optional<FileList> decode_file_list(std::string_view text);

// nullopt: there is none. data_loss: it is damaged.
absl::StatusOr<std::optional<FileList>> read_file_list(env::FileSystem& files,
                                                       const std::string& directory);
// After an error nobody knows which list a restart would find.
absl::Status replace_file_list(env::FileSystem& files,
                               const std::string& directory,
                               const FileList& list);

}  // namespace starling::storage::bitcask
