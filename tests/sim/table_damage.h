#pragma once

// What may become of a table: anywhere in it a bit may read wrong, or a sector not at all, as
// zeros, or as one of another place, and the file may end early or be gone. A node that meets it
// may refuse, but must not answer with what it read, nor take it for the absence of data.

#include <cstdint>
#include <optional>
#include <string>

#include "env/sim/file_system.h"
#include "env/sim/random.h"
#include "tests/sim/file_damage.h"

namespace starling::sim {

// A random place of a random table of a random shard in Machine::data_directory; none: it has none.
std::optional<FileDamage> find_table_damage(const env::SimFileSystem& files,
                                            uint32_t shards,
                                            env::SimRandom& random);
// As such a table is cut off, or missing.
std::optional<FileDamage> find_table_loss(const env::SimFileSystem& files,
                                          uint32_t shards,
                                          env::SimRandom& random);

// Whether the manifest, as a power loss now would leave it, names the table; true, too, when it
// cannot be read.
bool is_table_named(const env::SimFileSystem& files, const std::string& path);

}  // namespace starling::sim
