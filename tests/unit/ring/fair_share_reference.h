#pragma once

// The definition of ring/fair_share.h, computed in another way: the water level is found by
// bisection, in floating point.

#include <algorithm>
#include <functional>
#include <vector>

#include "ring/fair_share.h"

namespace starling::ring::testing {

// The level at which `held(level)`, which does not fall, reaches `wanted`.
inline double level_for(double wanted, const std::function<double(double)>& held) {
    double low = 0;
    double high = 1e12;
    for (int i = 0; i < 200; ++i) {
        const double middle = (low + high) / 2;
        (held(middle) < wanted ? low : high) = middle;
    }
    return high;
}

inline std::vector<double> water_filling(const std::vector<ShareMember>& members,
                                         uint32_t zone_count,
                                         uint32_t partition_count,
                                         uint32_t seats) {
    const double per_zone = zone_seats_max(members, zone_count, seats);
    std::vector<double> bounds(zone_count);
    std::vector<double> sizes(zone_count, 0);
    for (const ShareMember& member : members)
        ++sizes[member.zone];
    for (size_t zone = 0; zone < zone_count; ++zone) {
        bounds[zone] = partition_count * std::min(per_zone, sizes[zone]);
    }
    const auto share = [&](const ShareMember& member, double level) {
        return std::min<double>(partition_count, level * static_cast<double>(member.weight));
    };
    const auto zone_holds = [&](size_t zone, double level) {
        double sum = 0;
        for (const ShareMember& member : members) {
            if (member.zone == zone) sum += share(member, level);
        }
        return sum;
    };
    const double common =
        level_for(static_cast<double>(seats) * partition_count, [&](double level) {
            double sum = 0;
            for (size_t zone = 0; zone < zone_count; ++zone) {
                sum += std::min(bounds[zone], zone_holds(zone, level));
            }
            return sum;
        });
    std::vector<double> levels(zone_count, common);
    for (size_t zone = 0; zone < zone_count; ++zone) {
        if (zone_holds(zone, common) <= bounds[zone]) continue;
        levels[zone] =
            level_for(bounds[zone], [&](double level) { return zone_holds(zone, level); });
    }
    std::vector<double> shares;
    for (const ShareMember& member : members)
        shares.push_back(share(member, levels[member.zone]));
    return shares;
}

}  // namespace starling::ring::testing
