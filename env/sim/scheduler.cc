#include "env/sim/scheduler.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace starling::env {
namespace {

// Below this many it is not worth the while to look for stale entries.
constexpr size_t stale_entries_min = 1024;

template <size_t N>
std::string_view bytes_of(const std::array<uint64_t, N>& words) {
    return {reinterpret_cast<const char*>(words.data()), sizeof(words)};
}

}  // namespace

OwnerId SimScheduler::add_owner() {
    owners_.emplace_back();
    return static_cast<OwnerId>(owners_.size() - 1);
}

EventId SimScheduler::schedule_at(SimTime at, Event event) {
    STARLING_CHECK(event.label != nullptr);
    STARLING_CHECK(event.owner < owners_.size());
    uint32_t slot = 0;
    if (free_slots_.empty()) {
        slot = static_cast<uint32_t>(slots_.size());
        STARLING_CHECK(slot < (1u << slot_bits));
        slots_.emplace_back();
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    slots_[slot].sequence = ++last_sequence_;
    slots_[slot].event = std::move(event);
    push(std::max(at, now_), slot);
    return last_sequence_ << slot_bits | slot;
}

bool SimScheduler::cancel(EventId id) {
    const auto slot = static_cast<uint32_t>(id & ((1u << slot_bits) - 1));
    const uint64_t sequence = id >> slot_bits;
    if (sequence == 0 || slot >= slots_.size() || slots_[slot].sequence != sequence) {
        return false;
    }
    const Event cancelled = release(slot);
    ++stale_;
    forget_stale_entries();
    return true;
}

bool SimScheduler::run_one() {
    while (!heap_.empty()) {
        const Entry entry = pop();
        if (is_stale(entry)) {
            --stale_;
            continue;
        }
        now_ = entry.at;
        Owner& owner = owners_[slots_[entry.slot].event.owner];
        if (owner.paused) {
            owner.held.push_back(entry);
            continue;
        }
        execute(release(entry.slot));
        return true;
    }
    return false;
}

void SimScheduler::run_until(SimTime end) {
    STARLING_CHECK_MSG(depth_ == 0, "an event may not run the scheduler");
    for (;;) {
        while (!heap_.empty() && is_stale(heap_.front())) {
            pop();
            --stale_;
        }
        if (heap_.empty() || heap_.front().at > end) {
            break;
        }
        run_one();
    }
    now_ = std::max(now_, end);
}

void SimScheduler::drop_owner(OwnerId owner) {
    resume(owner);
    std::vector<Task> dead = drop_if([owner](const Event& event) { return event.owner == owner; });
    if (owner_ == owner) {
        std::move(dead.begin(), dead.end(), std::back_inserter(graveyard_));
    }
}

void SimScheduler::drop_context(const void* context) {
    drop_if([context](const Event& event) { return event.context == context; });
}

void SimScheduler::pause(OwnerId owner) {
    STARLING_CHECK(owner != no_owner);
    owners_[owner].paused = true;
}

void SimScheduler::resume(OwnerId owner) {
    if (!owners_[owner].paused) {
        return;
    }
    owners_[owner].paused = false;
    const std::vector<Entry> held = std::exchange(owners_[owner].held, {});
    // Behind what is due already, in the order in which they fell due.
    for (const Entry& entry : held) {
        if (is_stale(entry)) {
            --stale_;
        } else {
            push(now_, entry.slot);
        }
    }
}

void SimScheduler::run_as(OwnerId owner, const void* context, absl::FunctionRef<void()> body) {
    const void* const context_before = std::exchange(context_, context);
    const OwnerId owner_before = std::exchange(owner_, owner);
    ++depth_;
    body();
    --depth_;
    context_ = context_before;
    owner_ = owner_before;
    if (depth_ == 0 && !graveyard_.empty()) {
        std::vector<Task> dead = std::exchange(graveyard_, {});
    }
}

void SimScheduler::mix(uint64_t number) {
    mix(bytes_of(std::array<uint64_t, 1>{number}));
}

void SimScheduler::push(SimTime at, uint32_t slot) {
    slots_[slot].order = ++last_order_;
    heap_.push_back({.at = at, .order = last_order_, .slot = slot});
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

SimScheduler::Entry SimScheduler::pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Entry entry = heap_.back();
    heap_.pop_back();
    return entry;
}

// Frees the slot; its entry, if it is still in the heap, turns stale.
SimScheduler::Event SimScheduler::release(uint32_t slot) {
    slots_[slot].sequence = 0;
    slots_[slot].order = 0;
    free_slots_.push_back(slot);
    return std::exchange(slots_[slot].event, {});
}

template <typename Predicate>
std::vector<Task> SimScheduler::drop_if(Predicate predicate) {
    std::vector<Task> dead;
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
        if (slots_[slot].sequence != 0 && predicate(slots_[slot].event)) {
            dead.push_back(release(slot).task);
        }
    }
    stale_ += dead.size();
    forget_stale_entries();
    return dead;
}

// Timers that are cancelled long before they are due would otherwise fill the heap.
void SimScheduler::forget_stale_entries() {
    if (stale_ < stale_entries_min || stale_ * 2 < heap_.size()) {
        return;
    }
    const size_t removed = std::erase_if(heap_, [this](const Entry& e) { return is_stale(e); });
    stale_ -= removed;
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void SimScheduler::execute(Event event) {
    ++events_run_;
    mix(bytes_of(std::array<uint64_t, 3>{
        static_cast<uint64_t>(now_.count()), event.label->id, event.owner}));
    if (trace_) {
        trace_(now_, *event.label, event.owner);
    }
    run_as(event.owner, event.context, [&event] { event.task(); });
}

}  // namespace starling::env
