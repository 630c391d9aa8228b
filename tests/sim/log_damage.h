#pragma once

// Where a flipped bit in a log cannot be taken for what a power cut leaves behind: inside a record
// of the newest log that a later, whole record claims as durable. An engine that starts on it has
// lost something without a word.

#include <cstdint>
#include <optional>
#include <string>

#include "env/sim/file_system.h"
#include "env/sim/random.h"

namespace starling::sim {

struct LogDamage {
    std::string path;
    uint64_t offset = 0;
    unsigned bit = 0;
};

// None when the newest log in `directory` has no such place, or there is no log.
std::optional<LogDamage> find_log_damage(env::SimFileSystem& files,
                                         const std::string& directory,
                                         env::SimRandom& random);

}  // namespace starling::sim
