#pragma once

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/file_system.h"

namespace starling::storage {

// What an engine works with; all borrowed, and outliving it. Clocks are asked from any thread.
struct EngineEnvironment {
    env::FileSystem& files;
    // Where background jobs go.
    env::Workers& workers;
    // Measures stalls and paces background work.
    const env::Clock& clock;
    // Decides what has expired.
    const env::WallClock& wall_clock;
};

}  // namespace starling::storage
