#pragma once

// A bounded map whose reads take no lock: a value is pinned while somebody looks at it, and only
// one that nobody has pinned may fall out. What falls out is chosen as by a clock whose hand goes
// round: an entry that was not used since it came goes first, one that was used stays for one or
// two more rounds. So a pass over everything, which uses each entry once, does not push out what is
// used again and again.
//
// 1. A slot is `present` or not. Only the holder of mutex_ changes that, and from present to absent
//    only when there is no pin.
// 2. Key and value are written while the slot is absent; they are read by who has a pin and has
// seen
//    that the slot is present.
// 3. An entry stands in the set that its key hashes to, so nobody looks further.
// 4. An entry that is forgotten while it is pinned goes with its last pin.
//
// Thread-safe. Behaves the same in each run when one thread uses it.

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace starling::storage::lsm {

struct CacheKey {
    uint64_t first = 0;
    uint64_t second = 0;

    // Not absl's hash, which differs from run to run and would make what falls out do so too.
    uint64_t hash() const {
        uint64_t mixed = (second ^ first * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
        mixed ^= mixed >> 32;
        return mixed * 0xc4ceb9fe1a85ec53u;
    }
};

// Cost: uint64_t operator()(const Value&).
template <typename Value, typename Cost>
class ClockCache {
  public:
    // `entries_expected`: of an average cost, so that as many fit.
    ClockCache(uint64_t cost_max, uint64_t entries_expected)
        : cost_max_(cost_max), sets_(std::bit_ceil(2 * entries_expected / set_size + 1)) {}

    // Calls `use(const Value&)`. False: not there.
    template <typename Use>
    bool with(const CacheKey& key, Use&& use) {
        if (is_untouched()) {
            return false;
        }
        const uint64_t hash = key.hash();
        Set& set = set_of(hash);
        for (size_t i = 0; i < set_size; ++i) {
            Slot& slot = set.slots[(hash + i) % set_size];
            if (!slot.has(key)) {
                continue;
            }
            const uint64_t before = slot.state.fetch_add(one_pin, std::memory_order_acquire);
            const bool found = (before & present) != 0 && slot.has(key);
            if (found) {
                use(std::as_const(slot.value));
                if ((before & used_twice) == 0) {
                    slot.state.fetch_or((before & used) == 0 ? used : used_twice,
                                        std::memory_order_relaxed);
                }
            }
            const uint64_t after =
                slot.state.fetch_sub(one_pin, std::memory_order_acq_rel) - one_pin;
            if ((after & forgotten) != 0 && after < one_pin) [[unlikely]] {
                drop_forgotten(slot);
            }
            if (found) {
                return true;
            }
        }
        return false;
    }

    // Does nothing when the key is there already, or when there is no room for the value.
    // Returns what fell out, to be destroyed where the caller likes.
    std::vector<Value> insert(const CacheKey& key, Value value) {
        std::vector<Value> dropped;
        const uint64_t cost = Cost()(value);
        if (cost > cost_max_) {
            return dropped;
        }
        absl::MutexLock lock(&mutex_);
        if (locate(key) != nullptr) {
            return dropped;
        }
        // So many steps find too little only when much of it is pinned.
        for (size_t step = 0; cost_ + cost > cost_max_ && step < 4 * sets_.size() * set_size;
             ++step) {
            Slot& slot = sets_[hand_ / set_size].slots[hand_ % set_size];
            hand_ = (hand_ + 1) % (sets_.size() * set_size);
            pass(slot, dropped);
        }
        if (cost_ + cost > cost_max_) {
            return dropped;
        }
        if (Slot* const slot = free_slot(key, dropped)) {
            slot->first.store(key.first, std::memory_order_relaxed);
            slot->second.store(key.second, std::memory_order_relaxed);
            slot->value = std::move(value);
            slot->state.fetch_or(present, std::memory_order_release);
            cost_ += cost;
            if (is_untouched()) {
                is_untouched_.store(false, std::memory_order_relaxed);
            }
        }
        return dropped;
    }

    // The entry goes at once, or, when it is pinned, with its last pin.
    void forget(const CacheKey& key) {
        if (is_untouched()) {
            return;
        }
        std::optional<Value> dropped;
        absl::MutexLock lock(&mutex_);
        if (Slot* const slot = locate(key)) {
            slot->state.fetch_or(forgotten, std::memory_order_relaxed);
            dropped = remove(*slot);
        }
    }

    // Values are not to be destroyed by `visit`.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        absl::MutexLock lock(&mutex_);
        for (const Set& set : sets_) {
            for (const Slot& slot : set.slots) {
                if ((slot.state.load(std::memory_order_relaxed) & present) != 0) {
                    visit(slot.value);
                }
            }
        }
    }

    uint64_t cost() const {
        absl::MutexLock lock(&mutex_);
        return cost_;
    }

  private:
    static constexpr size_t set_size = 8;
    static constexpr uint64_t present = 1;
    static constexpr uint64_t used = 2;
    static constexpr uint64_t used_twice = 4;
    static constexpr uint64_t forgotten = 8;
    static constexpr uint64_t one_pin = 16;

    struct Slot {
        bool has(const CacheKey& key) const {
            return second.load(std::memory_order_relaxed) == key.second &&
                   first.load(std::memory_order_relaxed) == key.first;
        }

        std::atomic<uint64_t> state = 0;
        std::atomic<uint64_t> first = 0;
        std::atomic<uint64_t> second = 0;
        Value value{};
    };
    struct alignas(64) Set {
        std::array<Slot, set_size> slots;
    };

    // Nothing was ever put in, so that the slots, which take long to touch, need no look.
    bool is_untouched() const { return is_untouched_.load(std::memory_order_relaxed); }

    Set& set_of(uint64_t hash) { return sets_[(hash >> 8) & (sets_.size() - 1)]; }

    Slot* locate(const CacheKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        for (Slot& slot : set_of(key.hash()).slots) {
            if (slot.has(key) && (slot.state.load(std::memory_order_relaxed) & present) != 0) {
                return &slot;
            }
        }
        return nullptr;
    }

    std::optional<Value> remove(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        uint64_t state = slot.state.load(std::memory_order_relaxed);
        if ((state & present) == 0 || state >= one_pin ||
            !slot.state.compare_exchange_strong(
                state, 0, std::memory_order_acquire, std::memory_order_relaxed)) {
            return std::nullopt;
        }
        cost_ -= Cost()(slot.value);
        return std::exchange(slot.value, Value{});
    }

    void drop_forgotten(Slot& slot) {
        std::optional<Value> dropped;
        absl::MutexLock lock(&mutex_);
        // Else somebody has pinned it again, and will come here, or it is another entry by now.
        if ((slot.state.load(std::memory_order_relaxed) & forgotten) != 0) {
            dropped = remove(slot);
        }
    }

    // The hand: takes a use from the entry, or the entry itself when there is none left.
    void pass(Slot& slot, std::vector<Value>& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const uint64_t state = slot.state.load(std::memory_order_relaxed);
        if ((state & used_twice) != 0) {
            slot.state.fetch_and(~used_twice, std::memory_order_relaxed);
        } else if ((state & used) != 0) {
            slot.state.fetch_and(~used, std::memory_order_relaxed);
        } else if (std::optional<Value> value = remove(slot)) {
            dropped.push_back(*std::move(value));
        }
    }

    // An absent slot of the key's set; one is made absent when there is none. Null: all are pinned.
    Slot* free_slot(const CacheKey& key, std::vector<Value>& dropped)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const uint64_t hash = key.hash();
        Set& set = set_of(hash);
        constexpr size_t rounds = 3;
        for (size_t i = 0; i < rounds * set_size; ++i) {
            Slot& slot = set.slots[(hash + i) % set_size];
            if (i >= set_size) {
                pass(slot, dropped);
            }
            if ((slot.state.load(std::memory_order_relaxed) & present) == 0) {
                return &slot;
            }
        }
        return nullptr;
    }

    // Constant after construction.
    const uint64_t cost_max_;

    // Changes once.
    std::atomic<bool> is_untouched_ = true;

    // Slots are changed under mutex_; see above for how they are read.
    std::vector<Set> sets_;
    // What changes often is kept off the cache line that each look reads.
    alignas(64) mutable absl::Mutex mutex_;
    size_t hand_ ABSL_GUARDED_BY(mutex_) = 0;
    uint64_t cost_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::storage::lsm
