#include "node/replica/knowledge.h"

#include <algorithm>

namespace starling::node {

namespace {

uint64_t value_or_0(const std::map<base::NodeId, uint64_t>& map, base::NodeId node) {
    const auto at = map.find(node);
    return at == map.end() ? 0 : at->second;
}

void raise(Starts& starts, const Starts& other) {
    for (const auto& [node, start] : other) {
        uint32_t& mine = starts[node];
        mine = std::max(mine, start);
    }
}

}  // namespace

bool has_ended(const Starts& starts, const Actor& actor) {
    const auto at = starts.find(actor.node);
    return at != starts.end() && actor.start < at->second;
}

void Knowledge::note(base::NodeId owner, const Report& report) {
    for (const auto& [other, epoch] : report.epochs)
        note_epoch(other, epoch);
    note_epoch(owner, report.epoch);
    if (report.epoch < epoch_of(owner)) return;
    Report& known = reports_[owner];
    if (known.epoch < report.epoch) {
        known = report;
        return;
    }
    known.frontier.unite(report.frontier);
    raise(known.frozen, report.frozen);
    known.question = std::max(known.question, report.question);
    for (const auto& [other, epoch] : report.epochs) {
        uint64_t& mine = known.epochs[other];
        mine = std::max(mine, epoch);
    }
}

void Knowledge::note_epoch(base::NodeId owner, uint64_t epoch) {
    uint64_t& known = epochs_[owner];
    known = std::max(known, epoch);
}

uint64_t Knowledge::epoch_of(base::NodeId owner) const {
    return value_or_0(epochs_, owner);
}

const Knowledge::Report* Knowledge::current(base::NodeId owner) const {
    const auto at = reports_.find(owner);
    return at == reports_.end() || at->second.epoch < epoch_of(owner) ? nullptr : &at->second;
}

const Frontier* Knowledge::frontier_of(base::NodeId owner) const {
    const Report* report = current(owner);
    return report == nullptr ? nullptr : &report->frontier;
}

Frontier Knowledge::stable(std::span<const base::NodeId> others, const Frontier& own) const {
    Frontier stable = own;
    // Without exceptions, also where there are no others.
    stable.intersect_bases(own);
    for (const base::NodeId owner : others) {
        const Report* report = current(owner);
        if (report == nullptr) return {};
        for (const base::NodeId other : others) {
            if (other != owner && value_or_0(report->epochs, other) < epoch_of(other)) return {};
        }
        stable.intersect_bases(report->frontier);
    }
    return stable;
}

bool Knowledge::agree_on_lives(base::NodeId node,
                               uint32_t start,
                               uint64_t question,
                               std::span<const base::NodeId> others,
                               const Frontier& own) const {
    const std::vector<Frontier::Seen> mine = own.seen_before(node, start);
    const uint32_t sealed = own.sealed_before(node);
    return std::all_of(others.begin(), others.end(), [&](base::NodeId owner) {
        const Report* report = current(owner);
        if (report == nullptr || report->question < question) return false;
        const auto frozen = report->frozen.find(node);
        return frozen != report->frozen.end() && frozen->second >= start &&
               report->frontier.sealed_before(node) == sealed &&
               report->frontier.seen_before(node, start) == mine;
    });
}

}  // namespace starling::node
