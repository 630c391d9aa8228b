#pragma once

// Marks on rare paths, so that the simulator can show that its runs take them (FoundationDB's
// CODE_PROBE). A place in the code that only an accident leads to says
//
//     STARLING_MARK(put_stand_in_refused);
//
// A mark is known to a program from its start, whether its code ever runs or not: all that are
// linked in are found through all(). Two places with one name are one mark.
//
// Cost: where nobody counts, which is everywhere but in the simulator, a load of a flag that never
// changes and a branch that is never taken; so it belongs on paths that are rare, not into inner
// loops. Counting is thread-safe.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace starling::base {

class Mark {
  public:
    // Registers itself. REQUIRES: static storage, before main() begins; `name` lives as long.
    explicit Mark(std::string_view name) noexcept : name_(name), next_(first_) { first_ = this; }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

    void hit() {
        if (counted_.load(std::memory_order_relaxed)) [[unlikely]] {
            hits_.fetch_add(1, std::memory_order_relaxed);
        }
    }

    std::string_view name() const { return name_; }
    // Since counting began.
    uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }

    // From now on hits count, from zero.
    static void begin_counting() {
        for (Mark* mark = first_; mark != nullptr; mark = mark->next_) {
            mark->hits_.store(0, std::memory_order_relaxed);
        }
        counted_.store(true, std::memory_order_relaxed);
    }

    // All marks of this program, by name.
    static std::vector<const Mark*> all() {
        std::vector<const Mark*> marks;
        for (const Mark* mark = first_; mark != nullptr; mark = mark->next_) {
            marks.push_back(mark);
        }
        std::sort(marks.begin(), marks.end(), [](const Mark* a, const Mark* b) {
            return a->name_ < b->name_;
        });
        return marks;
    }

  private:
    inline static constinit std::atomic<bool> counted_ = false;
    inline static constinit Mark* first_ = nullptr;

    const std::string_view name_;
    Mark* const next_;
    std::atomic<uint64_t> hits_ = 0;
};

// A name as a template argument.
template <size_t size>
struct MarkName {
    char text[size];
    consteval MarkName(const char (&name)[size]) { std::copy_n(name, size, text); }
    constexpr std::string_view view() const { return {text, size - 1}; }
};

// One object for each name, made before main() wherever code that mentions it is linked in.
template <MarkName name>
inline Mark mark_named{name.view()};

}  // namespace starling::base

#define STARLING_MARK(name) ::starling::base::mark_named<#name>.hit()
