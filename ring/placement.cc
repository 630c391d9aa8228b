#include "ring/placement.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include "absl/container/inlined_vector.h"

#include "base/check.h"
#include "base/planted.h"
#include "ring/assignment.h"
#include "ring/fair_share.h"
#include "ring/pair_score.h"

namespace starling::ring {

namespace {

std::vector<PlacementMember> in_canonical_order(std::span<const PlacementMember> members) {
    std::vector<PlacementMember> ordered(members.begin(), members.end());
    if (!STARLING_PLANTED(placement_depends_on_order)) {
        std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
            return a.node < b.node;
        });
    }
    const auto same_node = [](const auto& a, const auto& b) { return a.node == b.node; };
    ordered.erase(std::unique(ordered.begin(), ordered.end(), same_node), ordered.end());
    for (PlacementMember& member : ordered)
        member.weight = std::max(member.weight, 1u);
    return ordered;
}

struct Zones {
    uint32_t count = 0;
    // One of each member.
    std::vector<uint32_t> of_member;
};

Zones number_zones(const std::vector<PlacementMember>& members) {
    std::map<std::string_view, uint32_t> numbers;
    for (const PlacementMember& member : members)
        numbers.emplace(member.zone, 0);
    Zones zones;
    for (auto& [name, number] : numbers)
        number = zones.count++;
    for (const PlacementMember& member : members) {
        zones.of_member.push_back(numbers.find(member.zone)->second);
    }
    return zones;
}

std::vector<uint64_t> all_scores(const std::vector<PlacementMember>& members,
                                 uint32_t partition_count) {
    std::vector<uint64_t> scores;
    scores.reserve(members.size() * partition_count);
    for (uint32_t partition = 0; partition < partition_count; ++partition) {
        const base::PartitionId id(static_cast<uint16_t>(partition));
        for (const PlacementMember& member : members) {
            scores.push_back(pair_score(member.node, member.weight, id));
        }
    }
    return scores;
}

// Computes one table; members are known by their index in canonical order.
class TableMaker {
  public:
    TableMaker(const std::vector<PlacementMember>& members, uint32_t partition_count)
        : member_count_(members.size()),
          partition_count_(partition_count),
          zones_(number_zones(members)),
          scores_(all_scores(members, partition_count)) {
        for (size_t i = 0; i < members.size(); ++i) {
            shares_.push_back({.weight = members[i].weight, .zone = zones_.of_member[i]});
        }
    }

    // The members of each partition's seats, one partition after the other.
    std::vector<uint16_t> make(uint32_t seats) {
        // With too few members each takes a seat in every round, and the last, incomplete one is
        // shared out.
        const auto distinct = static_cast<uint32_t>(std::min<size_t>(seats, member_count_));
        const auto assigned = static_cast<uint32_t>(
            member_count_ >= seats ? seats : seats % static_cast<uint32_t>(member_count_));
        const Assignment assignment = assign(assigned);
        std::vector<uint16_t> table;
        table.reserve(size_t{partition_count_} * seats);
        for (uint32_t partition = 0; partition < partition_count_; ++partition) {
            Order order = in_order(partition, assignment.members_of(partition));
            if (assigned < distinct) append_others(partition, order);
            const uint32_t used =
                STARLING_PLANTED(two_seats_on_one_node) && distinct > 1 ? distinct - 1 : distinct;
            for (uint32_t seat = 0; seat < seats; ++seat)
                table.push_back(order[seat % used]);
        }
        return table;
    }

  private:
    using Order = absl::InlinedVector<uint16_t, seats_max>;

    Assignment assign(uint32_t seats) {
        const std::vector<uint32_t> quotas =
            seat_quotas(shares_, zones_.count, partition_count_, seats);
        members_.clear();
        for (size_t i = 0; i < member_count_; ++i) {
            members_.push_back({.quota = quotas[i], .zone = zones_.of_member[i]});
        }
        return Assignment({.partition_count = partition_count_,
                           .seats = seats,
                           .zone_count = zones_.count,
                           .zone_seats_max = zone_seats_max(shares_, zones_.count, seats)},
                          members_,
                          scores_);
    }

    uint64_t score(uint32_t partition, uint16_t member) const {
        return scores_[partition * member_count_ + member];
    }

    // Best first, but no zone again before the others had their turn: namespaces of a smaller N use
    // the first seats only.
    Order in_order(uint32_t partition, std::span<const uint16_t> chosen) const {
        Order order(chosen.begin(), chosen.end());
        std::sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) {
            return std::pair(score(partition, a), a) < std::pair(score(partition, b), b);
        });
        absl::InlinedVector<std::pair<uint32_t, size_t>, seats_max> turns(order.size());
        for (size_t i = 0; i < order.size(); ++i) {
            const uint32_t zone = zones_.of_member[order[i]];
            const auto earlier = std::count_if(
                order.begin(), order.begin() + static_cast<ptrdiff_t>(i), [&](uint16_t other) {
                    return zones_.of_member[other] == zone;
                });
            turns[i] = {static_cast<uint32_t>(earlier), i};
        }
        std::sort(turns.begin(), turns.end());
        Order by_turn;
        for (const auto& [turn, i] : turns)
            by_turn.push_back(order[i]);
        return by_turn;
    }

    void append_others(uint32_t partition, Order& order) const {
        Order others;
        for (size_t i = 0; i < member_count_; ++i) {
            const auto member = static_cast<uint16_t>(i);
            if (std::find(order.begin(), order.end(), member) == order.end()) {
                others.push_back(member);
            }
        }
        others = in_order(partition, others);
        order.insert(order.end(), others.begin(), others.end());
    }

    const size_t member_count_;
    const uint32_t partition_count_;
    const Zones zones_;
    const std::vector<uint64_t> scores_;
    std::vector<ShareMember> shares_;
    std::vector<AssignmentMember> members_;
};

}  // namespace

Placement Placement::compute(std::span<const PlacementMember> members,
                             uint32_t partition_count,
                             uint32_t seats) {
    STARLING_CHECK(std::has_single_bit(partition_count) && partition_count <= partition_count_max);
    STARLING_CHECK(seats >= 1 && seats <= seats_max);
    Placement placement;
    placement.partition_count_ = partition_count;
    placement.seats_ = seats;
    const std::vector<PlacementMember> ordered = in_canonical_order(members);
    STARLING_CHECK(ordered.size() <= UINT16_MAX);
    if (ordered.empty()) return placement;
    for (const PlacementMember& member : ordered) {
        placement.members_.push_back({member.node, member.weight});
    }
    for (const uint16_t member : TableMaker(ordered, partition_count).make(seats)) {
        placement.table_.push_back(ordered[member].node);
    }
    return placement;
}

std::span<const base::NodeId> Placement::seats_of(base::PartitionId partition) const {
    if (table_.empty()) return {};
    STARLING_CHECK(partition.raw() < partition_count_);
    return std::span(table_).subspan(size_t{partition.raw()} * seats_, seats_);
}

std::vector<base::NodeId> Placement::preference_list(base::PartitionId partition) const {
    std::vector<base::NodeId> nodes;
    for (const base::NodeId node : seats_of(partition)) {
        if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
    }
    std::vector<std::pair<uint64_t, base::NodeId>> others;
    for (const Weighted& member : members_) {
        if (std::find(nodes.begin(), nodes.end(), member.node) == nodes.end()) {
            others.emplace_back(pair_score(member.node, member.weight, partition), member.node);
        }
    }
    std::sort(others.begin(), others.end());
    for (const auto& [score, node] : others)
        nodes.push_back(node);
    return nodes;
}

}  // namespace starling::ring
