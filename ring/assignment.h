#pragma once

// Fills seats under quotas: each pair of a partition and a member has a score, and pairs are taken
// from the best on while both sides have room (the one stable matching, since both sides judge a
// pair by the same score). So a change of the members moves little besides what it must. Seats that
// stay empty at the end, because the members with room are in their partition already, are filled
// by exchanging a few others (augmenting paths).

#include <cstdint>
#include <span>
#include <vector>

namespace starling::ring {

struct AssignmentMember {
    uint32_t quota = 0;
    uint32_t zone = 0;
};

class Assignment {
  public:
    struct Options {
        uint32_t partition_count = 0;
        uint32_t seats = 0;
        uint32_t zone_count = 0;
        // Of one partition in one zone.
        uint32_t zone_seats_max = 0;
    };

    // `scores`: partition by partition, one of each member; the least is the best.
    // REQUIRES: a full assignment exists (ring/fair_share.h makes such quotas).
    Assignment(const Options& options,
               std::span<const AssignmentMember> members,
               std::span<const uint64_t> scores);

    // Indexes of the members, in no particular order.
    std::span<const uint16_t> members_of(uint32_t partition) const;

  private:
    class PathSearch;

    bool has(uint32_t partition, uint32_t member) const;
    bool has_room(uint32_t member) const { return load_[member] < members_[member].quota; }
    uint8_t& zone_use(uint32_t partition, uint32_t zone);
    void give(uint32_t partition, uint32_t member);
    void take(uint32_t partition, uint32_t member);
    void take_best_pairs(std::span<const uint64_t> scores);
    void fill_empty_seats();

    const Options options_;
    const std::span<const AssignmentMember> members_;
    std::vector<uint16_t> table_;
    std::vector<uint8_t> filled_;
    // Partition by partition, one of each zone.
    std::vector<uint8_t> zone_use_;
    std::vector<uint32_t> load_;
};

}  // namespace starling::ring
