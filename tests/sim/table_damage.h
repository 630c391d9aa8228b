#pragma once

// Where a bit of a table may read wrong, or a sector not at all: anywhere in it. A node that meets
// it may refuse, but must not answer with what it read, nor take it for the absence of data.

#include <cstdint>
#include <optional>

#include "env/sim/file_system.h"
#include "env/sim/random.h"
#include "tests/sim/file_damage.h"

namespace starling::sim {

// A random place of a random table of a random shard in Machine::data_directory; none: it has none.
std::optional<FileDamage> find_table_damage(env::SimFileSystem& files,
                                            uint32_t shards,
                                            env::SimRandom& random);

}  // namespace starling::sim
