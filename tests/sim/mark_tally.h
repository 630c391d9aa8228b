#pragma once

// Which rare paths of the product (base/mark.h) the runs of this process, and of those that it
// forks, have taken.

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/mark.h"

namespace starling::sim {

class MarkTally {
  public:
    // What is counted from then on is shared with processes forked later.
    MarkTally();
    ~MarkTally();
    MarkTally(const MarkTally&) = delete;
    MarkTally& operator=(const MarkTally&) = delete;

    void begin_run() { base::Mark::begin_counting(); }
    // Adds what this process has counted since begin_run().
    void end_run();

    // How many marks were hit, and how often.
    std::string summary() const;
    // The marks that no run has hit, a few to a line; empty: all were.
    std::string never_hit() const;
    // A line for each mark: its hits, and in how many runs.
    std::string table() const;

  private:
    struct Count {
        std::atomic<uint64_t> hits;
        std::atomic<uint64_t> runs;
    };

    const std::vector<const base::Mark*> marks_;
    // In memory shared with forked processes; one for each of marks_.
    std::span<Count> counts_;
};

}  // namespace starling::sim
