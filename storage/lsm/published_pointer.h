#pragma once

// A shared pointer that any number of threads read, without a lock, while one replaces it. A reader
// counts itself into the slot that is current, makes sure that it still is, copies the pointer and
// leaves: a few instructions. The writer fills a slot in which there is no reader, and then makes
// it current.
//
// get() is for any thread; set() for one at a time.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace starling::storage::lsm {

template <typename T>
class PublishedPointer {
    static constexpr uint32_t slot_count = 4;

  public:
    explicit PublishedPointer(std::shared_ptr<T> first) { slots_[0].pointer = std::move(first); }

    std::shared_ptr<T> get() const {
        for (;;) {
            const Slot& slot = slots_[current_.load(std::memory_order_seq_cst)];
            // In the one order of these operations either this comes before the writer's look at
            // `readers`, which then spares the slot, or the look at current_ comes after the
            // change.
            slot.readers.fetch_add(1, std::memory_order_seq_cst);
            std::shared_ptr<T> copy;
            const bool is_current = &slot == &slots_[current_.load(std::memory_order_seq_cst)];
            if (is_current) [[likely]] {
                copy = slot.pointer;
            }
            slot.readers.fetch_sub(1, std::memory_order_release);
            if (is_current) [[likely]] {
                return copy;
            }
        }
    }

    // Returns what was there before, to be let go where the caller likes.
    std::array<std::shared_ptr<T>, slot_count> set(std::shared_ptr<T> next) {
        const uint32_t before = current_.load(std::memory_order_relaxed);
        // There is one without readers unless a thread was stopped amid the few instructions above
        // in every other slot.
        uint32_t free = before;
        do {
            free = (free + 1) % slot_count;
        } while (free == before || has_readers(free));
        slots_[free].pointer = std::move(next);
        current_.store(free, std::memory_order_seq_cst);
        std::array<std::shared_ptr<T>, slot_count> old;
        for (uint32_t i = 0; i < slot_count; ++i) {
            // The one that was current is left by its readers at once; if one of them was stopped
            // there, the pointer waits for the next call.
            for (int look = 0; i != free && look < looks_max; ++look) {
                if (!has_readers(i)) {
                    old[i] = std::exchange(slots_[i].pointer, nullptr);
                    break;
                }
            }
        }
        return old;
    }

  private:
    static constexpr int looks_max = 1000;

    bool has_readers(uint32_t slot) const {
        return slots_[slot].readers.load(std::memory_order_seq_cst) != 0;
    }

    struct alignas(64) Slot {
        mutable std::atomic<uint32_t> readers = 0;
        std::shared_ptr<T> pointer;
    };

    std::array<Slot, slot_count> slots_;
    std::atomic<uint32_t> current_ = 0;
};

}  // namespace starling::storage::lsm
