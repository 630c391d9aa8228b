#pragma once

// What was found wrong in a run: an invariant of docs/guarantees.md (I1, I2, ...) and a sentence
// that says what happened. A run with one violation has failed; the first one is the interesting
// one.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace starling::sim {

struct Violation {
    std::string invariant;
    std::string what;
};

class Verdict {
  public:
    // Called for each violation, at the moment it is found.
    using Listener = std::function<void(const Violation&)>;

    void set_listener(Listener listener) { listener_ = std::move(listener); }

    void report(std::string_view invariant, std::string what) {
        violations_.push_back({std::string(invariant), std::move(what)});
        if (listener_) listener_(violations_.back());
    }

    bool ok() const { return violations_.empty(); }
    const std::vector<Violation>& violations() const { return violations_; }

  private:
    std::vector<Violation> violations_;
    Listener listener_;
};

}  // namespace starling::sim
