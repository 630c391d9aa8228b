#pragma once

// What weights and zones allow. With Q partitions of S seats, and c the least number for which
// every partition can find S members if it takes at most c of each zone (c = 1: there are enough
// zones), a member may hold at most Q seats, and a zone of m members at most Q * min(c, m). The
// fair share of a member is its part of the Q * S seats in proportion to weight, where whoever
// reaches a bound stays there and the rest is shared, again in proportion, among those that have
// not (weighted max-min fairness). A quota is a fair share rounded up or down.

#include <cstdint>
#include <span>
#include <vector>

namespace starling::ring {

struct ShareMember {
    uint64_t weight = 1;
    // Zones are numbered 0 .. zone_count-1.
    uint32_t zone = 0;
};

// c of the comment above. REQUIRES: at least `seats` members.
uint32_t zone_seats_max(std::span<const ShareMember> members, uint32_t zone_count, uint32_t seats);

// Per member; they add up to partition_count * seats, and a table in which each member holds just
// its quota exists. REQUIRES: at least `seats` members.
std::vector<uint32_t> seat_quotas(std::span<const ShareMember> members,
                                  uint32_t zone_count,
                                  uint32_t partition_count,
                                  uint32_t seats);

}  // namespace starling::ring
