#pragma once

// A word that threads sleep on until it changes. std::atomic's own wait() gives up the CPU four
// times before it sleeps, in case the change comes soon. A change that comes with a sync does not,
// and with many waiters those turns took a third of all CPU.
//
// Thread-safe.

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace starling::storage {

class WaitWord {
  public:
    uint32_t load() const { return word_.load(std::memory_order_acquire); }
    void store(uint32_t value) { word_.store(value, std::memory_order_release); }
    // False: the word was not `seen`, which now says what it is.
    bool replace(uint32_t& seen, uint32_t value) {
        return word_.compare_exchange_strong(
            seen, value, std::memory_order_acq_rel, std::memory_order_acquire);
    }

    // Sleeps until a wake-up; returns at once when the word is not `seen`, and may return early:
    // the caller looks again.
    void wait(uint32_t seen) { futex(FUTEX_WAIT_PRIVATE, seen, nullptr); }
    // No longer than that, and what the kernel takes to notice.
    void wait_at_most(uint32_t seen, uint32_t microseconds) {
        const timespec limit{.tv_sec = microseconds / 1'000'000,
                             .tv_nsec = int64_t{microseconds % 1'000'000} * 1000};
        futex(FUTEX_WAIT_PRIVATE, seen, &limit);
    }
    void wake_one() { futex(FUTEX_WAKE_PRIVATE, 1, nullptr); }
    void wake_all() { futex(FUTEX_WAKE_PRIVATE, INT_MAX, nullptr); }

  private:
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

    void futex(int operation, uint32_t value, const timespec* limit) {
        ::syscall(SYS_futex, &word_, operation, value, limit, nullptr, 0);
    }

    std::atomic<uint32_t> word_ = 0;
};

}  // namespace starling::storage
