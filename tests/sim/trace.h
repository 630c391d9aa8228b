#pragma once

// What happened in a run, for people. A run is deterministic, so a trace need not be kept while all
// is well: a failed run is repeated with the trace on, and prints the lines before its first
// violation.

#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "env/sim/scheduler.h"

namespace starling::sim {

class Trace {
  public:
    // Keeps the last `lines_max` lines; 0 keeps none, and add() costs nothing.
    Trace(const env::SimScheduler& scheduler, size_t lines_max)
        : scheduler_(scheduler), lines_max_(lines_max) {}

    bool on() const { return lines_max_ > 0; }

    // Also writes each line to `out` at once.
    void set_live(std::FILE* out) { live_ = out; }
    // Also the frames between nodes.
    void set_frames(bool shown) { shows_frames_ = shown; }
    bool shows_frames() const { return on() && shows_frames_; }

    template <typename... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        if (!on()) return;
        push(fmt::format(format, std::forward<Args>(args)...));
    }

    const std::deque<std::string>& lines() const { return lines_; }

  private:
    void push(std::string_view line) {
        const double seconds = static_cast<double>(scheduler_.now().count()) * 1e-9;
        lines_.push_back(fmt::format("{:12.6f} {}", seconds, line));
        if (live_ != nullptr) fmt::print(live_, "{}\n", lines_.back());
        if (lines_.size() > lines_max_) lines_.pop_front();
    }

    const env::SimScheduler& scheduler_;
    const size_t lines_max_;
    std::FILE* live_ = nullptr;
    bool shows_frames_ = false;
    std::deque<std::string> lines_;
};

}  // namespace starling::sim
