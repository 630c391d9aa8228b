#pragma once

// Where a flipped bit in a log cannot be taken for what a power cut leaves behind: inside a record
// of the newest log that a later, whole record claims as durable. An engine that starts on it has
// lost something without a word.

#include <optional>
#include <string>

#include "env/sim/file_system.h"
#include "env/sim/random.h"
#include "tests/sim/file_damage.h"

namespace starling::sim {

// None when the newest log in `directory` has no such place, or there is no log.
std::optional<FileDamage> find_log_damage(env::SimFileSystem& files,
                                          const std::string& directory,
                                          env::SimRandom& random);

}  // namespace starling::sim
