#pragma once

// Which values cannot be read from their files any more. A hint stands in for what else is damaged
// in a complete file (merge.h); damage to the log shows at the next start.

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/bitcask/key_directory.h"

namespace starling::storage::bitcask {

// The newest value of a key.
struct LostValue {
    std::string key;
    Sequence sequence = 0;
    // data_loss, naming file and offset.
    absl::Status error;
};

// Reads the value of every key from its file, opened anew; of the log those alone that are not in
// memory. Ascending by key. Errors that are no damage are returned as they are. cancelled:
// `should_stop` said so; it is asked once for each key.
absl::StatusOr<std::vector<LostValue>> find_lost_values(env::FileSystem& files,
                                                        const std::string& directory,
                                                        const KeyDirectory& keys,
                                                        absl::FunctionRef<bool()> should_stop);

}  // namespace starling::storage::bitcask
