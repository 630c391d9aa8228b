#include "env/posix/timer_queue.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"

namespace starling::env {
namespace {

// Below this many it is not worth the while to look for stale entries.
constexpr size_t stale_entries_min = 1024;

}  // namespace

TimerId TimerQueue::add(base::MonotonicTime deadline, Task task) {
    uint32_t slot = 0;
    if (free_slots_.empty()) {
        slot = static_cast<uint32_t>(slots_.size());
        STARLING_CHECK(slot < (1u << slot_bits));
        slots_.emplace_back();
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    const uint64_t sequence = ++last_sequence_;
    slots_[slot].sequence = sequence;
    slots_[slot].task = std::move(task);
    heap_.push_back({.deadline = deadline, .sequence = sequence, .slot = slot});
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    return sequence << slot_bits | slot;
}

bool TimerQueue::cancel(TimerId timer) {
    const auto slot = static_cast<uint32_t>(timer & ((1u << slot_bits) - 1));
    const uint64_t sequence = timer >> slot_bits;
    if (sequence == 0 || slot >= slots_.size() || slots_[slot].sequence != sequence) {
        return false;
    }
    const Task cancelled = release(slot);
    ++stale_;
    sweep();
    return true;
}

std::optional<base::MonotonicTime> TimerQueue::next_deadline() {
    while (!heap_.empty() && is_stale(heap_.front())) {
        pop();
        --stale_;
    }
    if (heap_.empty()) {
        return std::nullopt;
    }
    return heap_.front().deadline;
}

std::optional<Task> TimerQueue::take_due(base::MonotonicTime now) {
    const std::optional<base::MonotonicTime> next = next_deadline();
    if (!next || *next > now) {
        return std::nullopt;
    }
    const uint32_t slot = heap_.front().slot;
    pop();
    return release(slot);
}

void TimerQueue::clear() {
    // A task's destruction may arm or cancel timers, so none is destroyed inside the containers.
    const std::vector<Slot> dead = std::exchange(slots_, {});
    heap_.clear();
    free_slots_.clear();
    stale_ = 0;
}

void TimerQueue::pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
}

Task TimerQueue::release(uint32_t slot) {
    slots_[slot].sequence = 0;
    free_slots_.push_back(slot);
    return std::exchange(slots_[slot].task, nullptr);
}

void TimerQueue::sweep() {
    if (stale_ < stale_entries_min || stale_ * 2 < heap_.size()) {
        return;
    }
    std::erase_if(heap_, [this](const Entry& entry) { return is_stale(entry); });
    stale_ = 0;
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
}

}  // namespace starling::env
