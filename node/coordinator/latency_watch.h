#pragma once

// Whether clients wait: work that can be put off asks here. Requests that took longer than a bound
// are counted in windows; clients wait when more than one in twenty of the last whole window did,
// or of the one that is not over.

#include <array>
#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace starling::node {

class LatencyWatch {
  public:
    static constexpr base::Duration window = std::chrono::milliseconds(500);

    explicit LatencyWatch(base::Duration bound) : bound_(bound) {}

    // A client was answered at `now`.
    void answered(base::MonotonicTime now, base::Duration took) {
        roll(now);
        ++windows_[0].requests;
        windows_[0].slow += took > bound_ ? 1u : 0u;
    }
    bool do_clients_wait(base::MonotonicTime now) {
        roll(now);
        return windows_[0].is_slow() || windows_[1].is_slow();
    }

  private:
    struct Window {
        uint64_t requests = 0;
        uint64_t slow = 0;
        bool is_slow() const { return slow * 20 > requests; }
    };

    void roll(base::MonotonicTime now) {
        if (now - begin_ < window) return;
        windows_[1] = now - begin_ < 2 * window ? windows_[0] : Window{};
        windows_[0] = {};
        begin_ = now;
    }

    const base::Duration bound_;
    base::MonotonicTime begin_{};
    // The one that is not over, and the one before.
    std::array<Window, 2> windows_{};
};

}  // namespace starling::node
