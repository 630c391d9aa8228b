#pragma once

// How many objects of a kind an engine has given out that are still there. Shared with those
// objects, which may be released after the engine. Thread-safe.

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace starling::storage {

class LiveCount {
  public:
    // Counts for as long as it lives.
    class Hold {
      public:
        explicit Hold(std::shared_ptr<std::atomic<uint64_t>> count) : count_(std::move(count)) {
            count_->fetch_add(1, std::memory_order_relaxed);
        }
        ~Hold() {
            if (count_ != nullptr) {
                count_->fetch_sub(1, std::memory_order_relaxed);
            }
        }
        Hold(Hold&&) = default;
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

      private:
        // Null: moved away.
        std::shared_ptr<std::atomic<uint64_t>> count_;
    };

    Hold hold() const { return Hold(count_); }
    uint64_t value() const { return count_->load(std::memory_order_relaxed); }

  private:
    const std::shared_ptr<std::atomic<uint64_t>> count_ =
        std::make_shared<std::atomic<uint64_t>>(0);
};

}  // namespace starling::storage
