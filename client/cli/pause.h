#pragma once

#include "base/time.h"
#include "env/posix/loop.h"

namespace starling::client {

// For commands that look again and again until something has happened.
inline void pause(base::Duration duration) {
    env::PosixLoop loop;
    loop.schedule_after(duration, [&loop] { loop.stop(); });
    loop.run();
}

}  // namespace starling::client
