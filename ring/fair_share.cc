#include "ring/fair_share.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace starling::ring {

namespace {

// seats * weight / weight_total. Within 64 bits for weights of 32 bits, thousands of members and
// all partitions.
struct Share {
    uint64_t seats = 0;
    uint64_t weight = 0;
    uint64_t weight_total = 1;

    uint64_t floor() const { return seats * weight / weight_total; }
    uint64_t remainder() const { return seats * weight % weight_total; }
};

using Indexes = std::vector<size_t>;

// Shares `seats` among the chosen members in proportion to weight, at most `bound` to each.
void fill(std::span<const ShareMember> members,
          Indexes chosen,
          uint64_t seats,
          uint64_t bound,
          std::vector<Share>& shares) {
    uint64_t weight_total = 0;
    for (const size_t i : chosen)
        weight_total += members[i].weight;
    // Each member taken out at its bound leaves more for the others, who may then pass theirs.
    for (bool again = true; again;) {
        const auto over = std::stable_partition(chosen.begin(), chosen.end(), [&](size_t i) {
            return members[i].weight * seats <= bound * weight_total;
        });
        again = over != chosen.end();
        for (auto at = over; at != chosen.end(); ++at) {
            shares[*at] = {.seats = bound, .weight = 1, .weight_total = 1};
            seats -= bound;
            weight_total -= members[*at].weight;
        }
        chosen.erase(over, chosen.end());
    }
    for (const size_t i : chosen) {
        shares[i] = {.seats = seats, .weight = members[i].weight, .weight_total = weight_total};
    }
}

struct Zone {
    Indexes members;
    uint64_t bound = 0;
    bool is_at_bound = false;
};

std::vector<Zone> zones_of(std::span<const ShareMember> members,
                           uint32_t zone_count,
                           uint32_t partition_count,
                           uint32_t seats) {
    std::vector<Zone> zones(zone_count);
    for (size_t i = 0; i < members.size(); ++i)
        zones[members[i].zone].members.push_back(i);
    const uint64_t per_zone = zone_seats_max(members, zone_count, seats);
    for (Zone& zone : zones) {
        zone.bound = partition_count * std::min<uint64_t>(per_zone, zone.members.size());
    }
    return zones;
}

// Of members that were filled together: whole shares and parts of one fraction.
bool gets_more_than_bound(const Zone& zone, const std::vector<Share>& shares) {
    uint64_t whole = 0;
    Share common;
    for (const size_t i : zone.members) {
        if (shares[i].weight_total == 1) {
            whole += shares[i].floor();
        } else {
            common = {.seats = shares[i].seats,
                      .weight = common.weight + shares[i].weight,
                      .weight_total = shares[i].weight_total};
        }
    }
    if (whole > zone.bound) return true;
    return common.seats * common.weight > (zone.bound - whole) * common.weight_total;
}

std::vector<Share> fair_shares(std::span<const ShareMember> members,
                               std::vector<Zone>& zones,
                               uint32_t partition_count,
                               uint64_t seats_total) {
    std::vector<Share> shares(members.size());
    // Each zone taken out at its bound raises the share of the others, so that none has to come
    // back in.
    for (bool again = true; again;) {
        Indexes open;
        uint64_t seats = seats_total;
        for (const Zone& zone : zones) {
            if (zone.is_at_bound) {
                seats -= zone.bound;
            } else {
                open.insert(open.end(), zone.members.begin(), zone.members.end());
            }
        }
        fill(members, std::move(open), seats, partition_count, shares);
        again = false;
        for (Zone& zone : zones) {
            if (zone.is_at_bound || !gets_more_than_bound(zone, shares)) continue;
            zone.is_at_bound = true;
            again = true;
        }
    }
    for (const Zone& zone : zones) {
        if (zone.is_at_bound) fill(members, zone.members, zone.bound, partition_count, shares);
    }
    return shares;
}

}  // namespace

uint32_t zone_seats_max(std::span<const ShareMember> members, uint32_t zone_count, uint32_t seats) {
    std::vector<uint32_t> sizes(zone_count, 0);
    for (const ShareMember& member : members)
        ++sizes[member.zone];
    for (uint32_t per_zone = 1; per_zone < seats; ++per_zone) {
        uint64_t found = 0;
        for (const uint32_t size : sizes)
            found += std::min(per_zone, size);
        if (found >= seats) return per_zone;
    }
    return seats;
}

std::vector<uint32_t> seat_quotas(std::span<const ShareMember> members,
                                  uint32_t zone_count,
                                  uint32_t partition_count,
                                  uint32_t seats) {
    STARLING_CHECK(members.size() >= seats);
    std::vector<Zone> zones = zones_of(members, zone_count, partition_count, seats);
    uint64_t left = uint64_t{partition_count} * seats;
    const std::vector<Share> shares = fair_shares(members, zones, partition_count, left);

    std::vector<uint32_t> quotas(members.size());
    Indexes by_remainder;
    for (size_t i = 0; i < members.size(); ++i) {
        quotas[i] = static_cast<uint32_t>(shares[i].floor());
        zones[members[i].zone].bound -= quotas[i];
        left -= quotas[i];
        if (shares[i].remainder() > 0) by_remainder.push_back(i);
    }
    std::stable_sort(by_remainder.begin(), by_remainder.end(), [&](size_t a, size_t b) {
        // remainder / weight_total, in 128 bits instead of divided.
        __extension__ using Wide = unsigned __int128;
        return Wide{shares[a].remainder()} * shares[b].weight_total >
               Wide{shares[b].remainder()} * shares[a].weight_total;
    });
    for (const size_t i : by_remainder) {
        uint64_t& zone_left = zones[members[i].zone].bound;
        if (left == 0 || zone_left == 0) continue;
        ++quotas[i];
        --zone_left;
        --left;
    }
    STARLING_CHECK(left == 0);
    return quotas;
}

}  // namespace starling::ring
