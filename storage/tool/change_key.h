#pragma once

// Changing the master key of an encrypted data directory, offline and without writing data anew.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "env/encrypted/master_key.h"
#include "env/file_system.h"
#include "env/random.h"

namespace starling::storage::tool {

// Wraps the key of each of the engine's files by `next`, which alone opens the directory
// afterwards. Returns how many files that are. Durable when OK. A call that was interrupted is made
// again, with the same keys. `random` must be fit for secrets.
//
// failed_precondition: the directory is in use, not encrypted, or under neither of the keys; then
// nothing was changed. Errors of the file system and of storage/open.h.
absl::StatusOr<uint64_t> change_key(env::FileSystem& files,
                                    env::Random& random,
                                    const std::string& directory,
                                    const env::MasterKey& present,
                                    const env::MasterKey& next);

}  // namespace starling::storage::tool
