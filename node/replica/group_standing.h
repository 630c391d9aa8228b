#pragma once

// What this node knows of the other owners of one group, and what follows from it: the pure part
// of Standings (standing.h says what it is for). No clock, no disk, no messages.

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "node/replica/knowledge.h"
#include "node/replica/owner_report.h"

namespace starling::node {

struct Owner {
    base::NodeId node;
    // See OwnerReport::tenure.
    uint64_t tenure = 0;
};

class GroupStanding {
  public:
    // `question`: above all that this node has asked before.
    explicit GroupStanding(uint64_t question) : question_(question) {}

    // What this node asks the other owners now, and the last that it has heard `owner` ask.
    uint64_t question() const { return question_; }
    uint64_t heard(base::NodeId owner) const;

    // Whether it is of an owner, with the tenure that this has.
    static bool counts(std::span<const Owner> others, base::NodeId from, const OwnerReport& report);
    // REQUIRES: it counts. True when its sender had another tenure before: what it said then is
    // void.
    bool note_report(base::NodeId from, const OwnerReport& report);
    // As of the last report that this node made.
    void note_durable(Frontier frontier) { durable_ = std::move(frontier); }
    const Frontier& durable() const { return durable_; }
    // The member has no hint of these lives, and will take none.
    void note_hints_gone(base::NodeId member, const Starts& gone);

    // Somebody knows of this epoch of the owner's data.
    void note_epoch(base::NodeId owner, uint64_t epoch) { knowledge_.note_epoch(owner, epoch); }
    const std::map<base::NodeId, uint64_t>& epochs() const { return knowledge_.epochs(); }
    // What an owner has told of itself, in the highest epoch of its data that is known; empty:
    // nothing that counts.
    struct Remembered {
        uint64_t epoch = 0;
        Frontier frontier;
        friend bool operator==(const Remembered&, const Remembered&) = default;
    };
    Remembered remembered(const Owner& owner) const;

    // Of each owner there is a report of its present tenure. If not, nothing can be concluded.
    bool knows_all(std::span<const Owner> others) const;
    // R5, R8: see Knowledge::stable().
    Frontier stable(std::span<const base::NodeId> others) const {
        return knowledge_.stable(others, durable_);
    }

    // R6.
    struct Sealing {
        const Starts& frozen;
        std::span<const base::NodeId> other_members;
        std::span<const base::NodeId> other_owners;
        // Whether this node has a hint of a life of the node before this one.
        std::function<bool(base::NodeId, uint32_t)> has_hint;
    };
    // Seals in `frontier`, which is what this node has seen, the lives that can be. A new question
    // is the next after `last_question`.
    void seal(const Sealing& sealing, uint64_t& last_question, Frontier& frontier);
    // Who has not said yet of all ended lives that it has no hints of them, if somebody's word was
    // missing when it was last tried to seal.
    std::vector<base::NodeId> members_to_ask(const Starts& frozen,
                                             std::span<const base::NodeId> other_members) const;
    // R7: what an owner says counts from this question on, asked since the hints of ended lives
    // were gone: before, one might still have brought it a write.
    uint64_t counts_from() const;
    // No write of an ended life can come any more: it is sealed, or no hint of it is left.
    bool is_resolved(const Starts& frozen, const Frontier& frontier) const;
    // Those who have not said that they have no hint of an ended life that is not resolved.
    std::vector<base::NodeId> may_have_hints(const Starts& frozen,
                                             const Frontier& frontier,
                                             std::span<const base::NodeId> other_members) const;

  private:
    bool is_resolved(base::NodeId node, uint32_t start, const Frontier& frontier) const;
    bool have_hints_gone(const Sealing& sealing,
                         base::NodeId node,
                         uint32_t start,
                         uint64_t& last_question);

    Knowledge knowledge_;
    std::map<base::NodeId, uint64_t> tenures_;
    // Counts this node's questions to the other owners, and the last of each that it heard.
    uint64_t question_ = 0;
    std::map<base::NodeId, uint64_t> heard_;
    // What each member said of its hints; a life that all of them named was so before the question
    // of this number.
    std::map<base::NodeId, Starts> hints_;
    std::map<base::NodeId, std::pair<uint32_t, uint64_t>> hints_gone_;
    Frontier durable_;
    // Members have not all said of all ended lives what their hints are.
    bool asks_members_ = false;
};

}  // namespace starling::node
