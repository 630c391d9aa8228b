#pragma once

// The timers of one loop: a heap by (deadline, order of arming). A cancelled timer frees its task
// at once and leaves a stale entry in the heap, which is swept when such entries are the majority:
// most timers are deadlines of requests, cancelled long before they are due. Not thread-safe.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "env/event_loop.h"

namespace starling::env {

class TimerQueue {
  public:
    TimerId add(base::MonotonicTime deadline, Task task);
    // False when it has been taken or cancelled before.
    bool cancel(TimerId timer);

    // None when there is no timer.
    std::optional<base::MonotonicTime> next_deadline();
    // The first timer that is due at `now`, if one is. It counts as run.
    std::optional<Task> take_due(base::MonotonicTime now);

    size_t size() const { return slots_.size() - free_slots_.size(); }
    // Destroys all tasks.
    void clear();

  private:
    struct Entry {
        base::MonotonicTime deadline;
        uint64_t sequence;
        uint32_t slot;
        bool operator>(const Entry& other) const {
            return deadline != other.deadline ? deadline > other.deadline
                                              : sequence > other.sequence;
        }
    };
    // A sequence of 0 marks a free slot.
    struct Slot {
        uint64_t sequence = 0;
        Task task;
    };

    static constexpr unsigned slot_bits = 24;

    bool is_stale(const Entry& entry) const {
        return slots_[entry.slot].sequence != entry.sequence;
    }
    void pop();
    Task release(uint32_t slot);
    void sweep();

    uint64_t last_sequence_ = 0;
    std::vector<Entry> heap_;
    size_t stale_ = 0;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_slots_;
};

}  // namespace starling::env
