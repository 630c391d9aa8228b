#pragma once

// An engine that keeps nothing: for tests, for caches, and as the model of what an engine does.

#include <memory>

#include "env/clock.h"
#include "env/file_system.h"
#include "storage/engine.h"

namespace starling::storage {

// `lock` is held until close; may be null.
std::unique_ptr<Engine> make_in_memory_engine(const env::WallClock& wall_clock,
                                              std::unique_ptr<env::FileLock> lock);

}  // namespace starling::storage
