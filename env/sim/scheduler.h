#pragma once

// The heart of a simulation: one queue of events, ordered by simulated time and, within an instant,
// by the order in which they were scheduled. Running an event is all that ever happens; time passes
// only between events. One thread, no locks.
//
// An event has an owner (a simulated process, or no_owner) and a context (the loop, pool or network
// on whose behalf it runs). What a crash kills and what a pause holds back are the events of an
// owner.
//
// Invariants:
// 1. The order of execution is a function of the calls made, so of the run's seed alone.
// 2. The digest covers the time, label and owner of every event run and all that was mixed in: two
// runs
//    with equal digests did the same.
// 3. A dropped or cancelled event never runs. Its task is destroyed at once, or, when its owner is
//    running just now, as soon as the running event has ended.

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

#include "base/hash.h"
#include "base/time.h"
#include "env/event_loop.h"

namespace starling::env {

// Time since the start of the run as only the simulator knows it: processes see their own clocks.
using SimTime = base::Duration;

// Names an event while it waits. 0 names none.
using EventId = uint64_t;

using OwnerId = uint32_t;
inline constexpr OwnerId no_owner = 0;

// What an event is, for digest and trace. A static object: events keep a pointer to it.
struct EventLabel {
    explicit EventLabel(std::string_view label_name)
        : name(label_name), id(base::xxh3_64(label_name)) {}
    std::string_view name;
    uint64_t id;
};

class SimScheduler {
  public:
    struct Event {
        OwnerId owner = no_owner;
        const void* context = nullptr;
        const EventLabel* label = nullptr;
        Task task;
    };
    using Trace = std::function<void(SimTime, const EventLabel&, OwnerId)>;

    SimScheduler() = default;
    SimScheduler(const SimScheduler&) = delete;
    SimScheduler& operator=(const SimScheduler&) = delete;

    SimTime now() const { return now_; }

    OwnerId add_owner();

    // A time that is past counts as now. Events of one instant run in the order they were
    // scheduled.
    EventId schedule_at(SimTime at, Event event);
    EventId schedule_after(SimTime delay, Event event) {
        return schedule_at(now_ + delay, std::move(event));
    }
    // False when the event has run, was cancelled or was dropped.
    bool cancel(EventId id);

    // Runs the next event; false when none is left.
    bool run_one();
    // Runs what is due until `end`, which is the time afterwards.
    void run_until(SimTime end);
    void run_for(SimTime span) { run_until(now_ + span); }

    // Drops all events of the owner, and what a pause holds back; the owner is not paused
    // afterwards.
    void drop_owner(OwnerId owner);
    // Drops all events of a context that is going away.
    void drop_context(const void* context);
    // While an owner is paused its events stay due; resume() lets all of them run at once, in
    // order.
    void pause(OwnerId owner);
    void resume(OwnerId owner);
    bool is_paused(OwnerId owner) const { return owners_[owner].paused; }

    // Runs `body` now, inside the running event if there is one, as an event of that owner and
    // context.
    void run_as(OwnerId owner, const void* context, absl::FunctionRef<void()> body);

    // On whose behalf code runs just now; null between events.
    const void* current_context() const { return context_; }
    OwnerId current_owner() const { return owner_; }

    uint64_t digest() const { return digest_; }
    void mix(std::string_view bytes) { digest_ = base::xxh3_64(bytes, digest_); }
    void mix(uint64_t number);

    uint64_t events_run() const { return events_run_; }
    size_t events_waiting() const { return slots_.size() - free_slots_.size(); }

    // Called before each event; for readable traces.
    void set_trace(Trace trace) { trace_ = std::move(trace); }

  private:
    struct Entry {
        SimTime at;
        uint64_t order;
        uint32_t slot;
        bool operator>(const Entry& other) const {
            return at != other.at ? at > other.at : order > other.order;
        }
    };
    // Where an event waits. `sequence` is its name (0: the slot is free), `order` its place within
    // its instant, which a pause changes. An entry whose order is not its slot's is stale.
    struct Slot {
        uint64_t sequence = 0;
        uint64_t order = 0;
        Event event;
    };
    struct Owner {
        bool paused = false;
        std::vector<Entry> held;
    };

    static constexpr unsigned slot_bits = 24;

    bool is_stale(const Entry& entry) const { return slots_[entry.slot].order != entry.order; }
    void push(SimTime at, uint32_t slot);
    Entry pop();
    Event release(uint32_t slot);
    template <typename Predicate>
    std::vector<Task> drop_if(Predicate predicate);
    void forget_stale_entries();
    void execute(Event event);

    SimTime now_{0};
    uint64_t last_sequence_ = 0;
    uint64_t last_order_ = 0;
    std::vector<Entry> heap_;
    size_t stale_ = 0;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_slots_;
    std::vector<Owner> owners_ = std::vector<Owner>(1);

    // Of the event that is running.
    const void* context_ = nullptr;
    OwnerId owner_ = no_owner;
    unsigned depth_ = 0;
    std::vector<Task> graveyard_;

    uint64_t digest_ = 0;
    uint64_t events_run_ = 0;
    Trace trace_;
};

}  // namespace starling::env
