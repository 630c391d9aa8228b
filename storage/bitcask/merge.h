#pragma once

// Rewrites what is still needed of some data files into new ones. The files are written and synced,
// their directory entries too; that they take effect is the caller's part.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/bitcask/data_file.h"
#include "storage/bitcask/key_directory.h"

namespace starling::storage::bitcask {

struct MergeOptions {
    std::string directory;
    // Size at which a new file is begun.
    uint64_t file_bytes_max = 0;
    // What has expired by then goes; 0: nothing.
    Expiry now = 0;
    absl::AnyInvocable<uint64_t()> next_file_number;
    // Asked often: whether to give up (`cancelled`).
    absl::AnyInvocable<bool()> should_stop;
};

struct Merged {
    std::vector<ListedFile> files;
    std::vector<Move> moves;
    // Of keys whose value went because it had expired.
    std::vector<std::pair<std::string, Sequence>> expired;
};

// Where an input is damaged its hint says what is in it, and values that are still needed are read
// one by one. data_loss: one of them is damaged, or there is no usable hint. After an error nothing
// of the new files is left, but for what could not be removed.
absl::StatusOr<Merged> merge_files(env::FileSystem& files,
                                   const KeyDirectory& keys,
                                   const std::vector<ListedFile>& inputs,
                                   MergeOptions options);

}  // namespace starling::storage::bitcask
