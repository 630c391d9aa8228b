#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "env/file_system.h"

namespace starling::storage {

struct Destroyed {
    uint64_t files_removed = 0;
    // Names of what no engine wrote, and which is therefore still there; the directory is, too, if
    // there are any.
    std::vector<std::string> kept;
};

// Removes what the engine that wrote `directory` wrote there, and the directory when nothing else
// is in it; a directory that is not there is no error. Interrupted at any point it can begin again,
// and until it does the directory opens empty or not at all.
//
// failed_precondition: some process has the directory open. data_loss: the marker is damaged or
// lost, so nobody knows what is the engine's; nothing was removed then.
absl::StatusOr<Destroyed> destroy_engine(env::FileSystem& files, const std::string& directory);

}  // namespace starling::storage
