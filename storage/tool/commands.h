#pragma once

// The commands of starling-storage, without their command line. Each only reads.

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/file_system.h"
#include "storage/environment.h"

namespace starling::storage::tool {

struct Output {
    std::ostream& out;
    bool json = false;
};

struct DumpOptions {
    bool keys_only = false;
    bool hex = false;
    std::string prefix;
    // 0: all.
    uint64_t limit = 0;
};

// Engine, format, files, and what the manifest or the list of files says about them.
absl::Status inspect(env::FileSystem& files, const std::string& directory, Output output);
// data_loss, after all findings are printed: there is damage.
absl::Status verify(env::FileSystem& files, const std::string& directory, Output output);
// One line per key: key, TAB, value.
absl::Status dump(EngineEnvironment environment,
                  const std::string& directory,
                  const DumpOptions& options,
                  Output output);
absl::Status stats(EngineEnvironment environment, const std::string& directory, Output output);

}  // namespace starling::storage::tool
