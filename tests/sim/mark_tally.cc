#include "tests/sim/mark_tally.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include "base/check.h"

namespace starling::sim {

namespace {

constexpr size_t columns = 100;

}  // namespace

MarkTally::MarkTally() : marks_(base::Mark::all()) {
    // One more, because nothing cannot be mapped.
    const size_t bytes = (marks_.size() + 1) * sizeof(Count);
    void* const shared =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    STARLING_CHECK_MSG(shared != MAP_FAILED, "no memory to count marks in");
    // Zeros are counts of zero.
    counts_ = {static_cast<Count*>(shared), marks_.size()};
}

MarkTally::~MarkTally() {
    munmap(counts_.data(), (marks_.size() + 1) * sizeof(Count));
}

void MarkTally::end_run() {
    for (size_t i = 0; i < marks_.size(); ++i) {
        const uint64_t hits = marks_[i]->hits();
        if (hits == 0) continue;
        counts_[i].hits += hits;
        ++counts_[i].runs;
    }
}

std::string MarkTally::summary() const {
    size_t marks_hit = 0;
    uint64_t hits = 0;
    for (const Count& count : counts_) {
        marks_hit += count.hits > 0 ? 1u : 0u;
        hits += count.hits;
    }
    return fmt::format("marks: {} of {} hit, {} times in all", marks_hit, marks_.size(), hits);
}

std::string MarkTally::never_hit() const {
    std::string out;
    size_t line = 0;
    for (size_t i = 0; i < marks_.size(); ++i) {
        if (counts_[i].hits > 0) continue;
        const std::string_view name = marks_[i]->name();
        const bool fits = line > 0 && line + 1 + name.size() <= columns;
        out += fits ? " " : out.empty() ? "  " : "\n  ";
        line = (fits ? line + 1 : 2) + name.size();
        out += name;
    }
    return out;
}

std::string MarkTally::table() const {
    std::string out;
    for (size_t i = 0; i < marks_.size(); ++i) {
        out += fmt::format("  {:>10} {:>6}  {}\n",
                           counts_[i].hits.load(),
                           counts_[i].runs.load(),
                           marks_[i]->name());
    }
    return out;
}

}  // namespace starling::sim
