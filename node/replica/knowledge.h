#pragma once

// What the owners of one group are known to have seen: the ground on which context entries,
// tombstones (rules R8 and R5 of docs/causality.md) and the holes of ended actors (R6) go.
//
// An owner reports of its durable state, so a report is a lower bound for as long as the owner
// keeps its data; of several the greatest counts, in whatever order they come. When its data is
// lost, wiped or set back, the owner's *epoch* rises, and nothing that it said before counts: not
// here, and not in what others concluded from it and report. Pure: no clock, no messages.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/ids.h"
#include "node/version/frontier.h"

namespace starling::node {

// Of each node the start counter of its present life, as far as is known: earlier lives have ended.
using Starts = std::map<base::NodeId, uint32_t>;

bool has_ended(const Starts& starts, const Actor& actor);

class Knowledge {
  public:
    struct Report {
        // Of the reporting owner's data.
        uint64_t epoch = 0;
        // The highest epochs it knows of the other owners.
        std::map<base::NodeId, uint64_t> epochs;
        // The ended lives whose writes it takes from hints only (it has *frozen* their actors).
        Starts frozen;
        // The last question of the receiver's that it had heard when it reported.
        uint64_t question = 0;
        Frontier frontier;
    };

    void note(base::NodeId owner, const Report& report);
    // What the owner reported is void.
    void forget(base::NodeId owner) { reports_.erase(owner); }
    // Somebody knows of this epoch of the owner's data.
    void note_epoch(base::NodeId owner, uint64_t epoch);
    // The highest known; 0 when nothing was heard.
    uint64_t epoch_of(base::NodeId owner) const;
    const std::map<base::NodeId, uint64_t>& epochs() const { return epochs_; }
    // What it is known to have seen in that epoch; null: nothing counts.
    const Frontier* frontier_of(base::NodeId owner) const;

    // Up to its bases, the dots that each of `others` has seen, and `own`, which is durable. Empty
    // while one of them has not reported of its present data, or has concluded from another's
    // earlier data.
    Frontier stable(std::span<const base::NodeId> others, const Frontier& own) const;

    // R6: the lives of `node` before `start` have ended, and since each of `others` froze them and
    // heard `question`, all have seen the same of them as `own` has. What is missing then may be
    // sealed, if nobody held a hint with a dot of them when the question was asked.
    bool agree_on_lives(base::NodeId node,
                        uint32_t start,
                        uint64_t question,
                        std::span<const base::NodeId> others,
                        const Frontier& own) const;

  private:
    // Null when the owner's reports do not count.
    const Report* current(base::NodeId owner) const;

    std::map<base::NodeId, Report> reports_;
    std::map<base::NodeId, uint64_t> epochs_;
};

}  // namespace starling::node
