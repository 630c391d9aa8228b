#include "node/replica/group_standing.h"

#include <algorithm>
#include <iterator>

#include "base/mark.h"
#include "base/planted.h"

namespace starling::node {

namespace {

bool covers(const Starts& starts, base::NodeId node, uint32_t start) {
    const auto found = starts.find(node);
    return found != starts.end() && found->second >= start;
}

}  // namespace

uint64_t GroupStanding::heard(base::NodeId owner) const {
    const auto found = heard_.find(owner);
    return found == heard_.end() ? 0 : found->second;
}

bool GroupStanding::counts(std::span<const Owner> others,
                           base::NodeId from,
                           const OwnerReport& report) {
    return std::any_of(others.begin(), others.end(), [&](const Owner& owner) {
        return owner.node == from && owner.tenure == report.tenure;
    });
}

bool GroupStanding::note_report(base::NodeId from, const OwnerReport& report) {
    const auto [tenure, is_new] = tenures_.try_emplace(from, report.tenure);
    const bool is_of_another_tenure = !is_new && tenure->second != report.tenure;
    if (is_of_another_tenure) {
        STARLING_MARK(standing_owner_has_a_new_tenure);
        tenure->second = report.tenure;
        knowledge_.forget(from);
    }
    uint64_t& heard = heard_[from];
    heard = std::max(heard, report.asks);
    knowledge_.note(from, report.known);
    return is_of_another_tenure;
}

void GroupStanding::note_hints_gone(base::NodeId member, const Starts& gone) {
    Starts& said = hints_[member];
    for (const auto& [node, start] : gone) {
        uint32_t& known = said[node];
        known = std::max(known, start);
    }
}

GroupStanding::Remembered GroupStanding::remembered(const Owner& owner) const {
    Remembered remembered{.epoch = knowledge_.epoch_of(owner.node), .frontier = {}};
    const auto tenure = tenures_.find(owner.node);
    const bool is_of_today = tenure != tenures_.end() && owner.tenure == tenure->second;
    const Frontier* frontier = is_of_today ? knowledge_.frontier_of(owner.node) : nullptr;
    if (frontier != nullptr) remembered.frontier = *frontier;
    return remembered;
}

bool GroupStanding::knows_all(std::span<const Owner> others) const {
    return std::all_of(others.begin(), others.end(), [&](const Owner& owner) {
        const auto tenure = tenures_.find(owner.node);
        return tenure != tenures_.end() && tenure->second == owner.tenure;
    });
}

// All members have said that they have no hint of the life: from the next question on the owners
// answer as who will get none.
bool GroupStanding::have_hints_gone(const Sealing& sealing,
                                    base::NodeId node,
                                    uint32_t start,
                                    uint64_t& last_question) {
    if (const auto gone = hints_gone_.find(node);
        gone != hints_gone_.end() && gone->second.first >= start) {
        return true;
    }
    if (sealing.has_hint(node, start)) {
        STARLING_MARK(standing_hint_of_ended_life);
        return false;
    }
    const bool all = std::all_of(
        sealing.other_members.begin(), sealing.other_members.end(), [&](base::NodeId member) {
            const auto said = hints_.find(member);
            return said != hints_.end() && covers(said->second, node, start);
        });
    if (all) {
        question_ = ++last_question;
        hints_gone_[node] = {start, question_};
    }
    return all;
}

uint64_t GroupStanding::counts_from() const {
    uint64_t question = 0;
    for (const auto& [node, gone] : hints_gone_)
        question = std::max(question, gone.second);
    return question;
}

void GroupStanding::seal(const Sealing& sealing, uint64_t& last_question, Frontier& frontier) {
    asks_members_ = false;
    for (const auto& [node, start] : sealing.frozen) {
        if (start <= frontier.sealed_before(node)) continue;
        if (STARLING_PLANTED(sealed_on_hearsay)) {
            frontier.seal(node, start);
        } else if (!have_hints_gone(sealing, node, start, last_question)) {
            asks_members_ = true;
        } else if (const auto& [known, question] = hints_gone_.at(node);
                   known >= start && knowledge_.agree_on_lives(
                                         node, start, question, sealing.other_owners, frontier)) {
            STARLING_MARK(standing_life_sealed);
            frontier.seal(node, start);
        }
    }
}

std::vector<base::NodeId> GroupStanding::members_to_ask(
    const Starts& frozen, std::span<const base::NodeId> other_members) const {
    std::vector<base::NodeId> asked;
    if (!asks_members_) return asked;
    std::copy_if(other_members.begin(),
                 other_members.end(),
                 std::back_inserter(asked),
                 [&](base::NodeId member) {
                     const auto said = hints_.find(member);
                     return said == hints_.end() ||
                            !std::all_of(frozen.begin(), frozen.end(), [&](const auto& ended) {
                                return covers(said->second, ended.first, ended.second);
                            });
                 });
    return asked;
}

bool GroupStanding::is_resolved(base::NodeId node, uint32_t start, const Frontier& frontier) const {
    const auto gone = hints_gone_.find(node);
    return start <= frontier.sealed_before(node) ||
           (gone != hints_gone_.end() && gone->second.first >= start);
}

bool GroupStanding::is_resolved(const Starts& frozen, const Frontier& frontier) const {
    return std::all_of(frozen.begin(), frozen.end(), [&](const auto& ended) {
        return is_resolved(ended.first, ended.second, frontier);
    });
}

std::vector<base::NodeId> GroupStanding::may_have_hints(
    const Starts& frozen,
    const Frontier& frontier,
    std::span<const base::NodeId> other_members) const {
    std::vector<base::NodeId> found;
    for (const base::NodeId member : other_members) {
        const auto said = hints_.find(member);
        const bool has_said_all = std::all_of(frozen.begin(), frozen.end(), [&](const auto& ended) {
            return is_resolved(ended.first, ended.second, frontier) ||
                   (said != hints_.end() && covers(said->second, ended.first, ended.second));
        });
        if (!has_said_all) found.push_back(member);
    }
    return found;
}

}  // namespace starling::node
