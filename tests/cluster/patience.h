#pragma once

// How long a test with real processes waits. A sanitizer makes everything slower, so it stretches
// the deadlines.

#include <chrono>
#include <functional>
#include <thread>

namespace starling::cluster_test {

using Seconds = std::chrono::seconds;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int slowness = 4;
#else
inline constexpr int slowness = 1;
#endif

// Whether `condition` came true within the deadline.
inline bool wait_until(Seconds deadline, const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + deadline * slowness;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace starling::cluster_test
