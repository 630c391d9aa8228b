#include "ring/assignment.h"

#include <algorithm>

#include "base/check.h"
#include "ring/pair_score.h"

namespace starling::ring {

namespace {

constexpr uint32_t nowhere = UINT32_MAX;

}  // namespace

// Breadth-first search, from a partition with an empty seat to a member with room, over three kinds
// of places: a partition, which may use one more of some zone; a zone of a partition, which may
// take a member there; and a member, which has room or may give up a seat elsewhere. This is the
// residual graph of the flow of seats from partitions over their zones to members, so a path is
// found whenever one exists.
class Assignment::PathSearch {
  public:
    explicit PathSearch(Assignment& assignment)
        : assignment_(assignment),
          options_(assignment.options_),
          first_zone_(options_.partition_count),
          first_member_(first_zone_ + options_.partition_count * options_.zone_count),
          from_(first_member_ + assignment.members_.size(), nowhere),
          zone_members_(options_.zone_count),
          seats_of_member_(assignment.members_.size()) {
        for (uint32_t i = 0; i < assignment.members_.size(); ++i) {
            zone_members_[assignment.members_[i].zone].push_back(i);
        }
        for (uint32_t partition = 0; partition < options_.partition_count; ++partition) {
            for (const uint16_t member : assignment.members_of(partition)) {
                seats_of_member_[member].push_back(partition);
            }
        }
    }

    void fill_seat_of(uint32_t partition) {
        find_members_with_room();
        visit(partition, partition);
        uint32_t end = look_ahead_from_partition(partition);
        for (size_t next = 0; next < visited_.size() && end == nowhere; ++next) {
            end = expand(visited_[next]);
        }
        STARLING_CHECK_MSG(end != nowhere, "the quotas allow no full assignment");
        apply_path_to(end);
        for (const uint32_t place : visited_)
            from_[place] = nowhere;
        visited_.clear();
    }

  private:
    uint32_t zone_place(uint32_t partition, uint32_t zone) const {
        return first_zone_ + partition * options_.zone_count + zone;
    }

    uint32_t partition_of_zone(uint32_t place) const {
        return (place - first_zone_) / options_.zone_count;
    }

    void visit(uint32_t place, uint32_t from) {
        if (from_[place] != nowhere) return;
        from_[place] = from;
        visited_.push_back(place);
    }

    void find_members_with_room() {
        with_room_.clear();
        for (uint32_t member = 0; member < assignment_.members_.size(); ++member) {
            if (assignment_.has_room(member)) with_room_.push_back(member);
        }
    }

    // The end of the path, or nowhere.
    uint32_t expand(uint32_t place) {
        if (place >= first_member_) return expand_member(place);
        if (place >= first_zone_) {
            expand_zone(place);
        } else {
            for (uint32_t zone = 0; zone < options_.zone_count; ++zone) {
                if (assignment_.zone_use(place, zone) < options_.zone_seats_max) {
                    visit(zone_place(place, zone), place);
                }
            }
        }
        return nowhere;
    }

    void expand_zone(uint32_t place) {
        const uint32_t partition = partition_of_zone(place);
        const uint32_t zone = (place - first_zone_) % options_.zone_count;
        for (const uint32_t member : zone_members_[zone]) {
            if (!assignment_.has(partition, member)) visit(first_member_ + member, place);
        }
        if (assignment_.zone_use(partition, zone) > 0) visit(partition, place);
    }

    uint32_t expand_member(uint32_t place) {
        const uint32_t member = place - first_member_;
        const uint32_t zone = assignment_.members_[member].zone;
        for (const uint32_t partition : seats_of_member_[member]) {
            const uint32_t next = zone_place(partition, zone);
            if (from_[next] != nowhere) continue;
            visit(next, place);
            if (const uint32_t end = look_ahead_from_zone(partition, zone); end != nowhere)
                return end;
        }
        return nowhere;
    }

    // Most paths end one exchange away. Looking for that end as soon as a seat may be given up, not
    // when its turn in the queue comes, spares visiting every seat of every full member.
    uint32_t look_ahead_from_zone(uint32_t partition, uint32_t zone) {
        for (const uint32_t member : with_room_) {
            if (assignment_.members_[member].zone != zone) continue;
            if (assignment_.has(partition, member)) continue;
            return end_at(member, zone_place(partition, zone));
        }
        if (from_[partition] != nowhere) return nowhere;
        from_[partition] = zone_place(partition, zone);
        const uint32_t end = look_ahead_from_partition(partition);
        if (end == nowhere) {
            // Its zones may lead on, but only when it is their turn.
            from_[partition] = nowhere;
        } else {
            visited_.push_back(partition);
        }
        return end;
    }

    // REQUIRES: the partition has been reached.
    uint32_t look_ahead_from_partition(uint32_t partition) {
        for (const uint32_t member : with_room_) {
            const uint32_t zone = assignment_.members_[member].zone;
            if (assignment_.zone_use(partition, zone) >= options_.zone_seats_max) continue;
            if (assignment_.has(partition, member)) continue;
            const uint32_t place = zone_place(partition, zone);
            if (from_[place] != nowhere) continue;
            visit(place, partition);
            return end_at(member, place);
        }
        return nowhere;
    }

    uint32_t end_at(uint32_t member, uint32_t from) {
        visit(first_member_ + member, from);
        return first_member_ + member;
    }

    // A partition whose every seat is filled has no room in the table for one more, so all that is
    // given up on the path is taken first.
    void apply_path_to(uint32_t end) {
        for (uint32_t place = end; place != from_[place]; place = from_[place]) {
            if (place < first_member_ && from_[place] >= first_member_) {
                const uint32_t member = from_[place] - first_member_;
                std::vector<uint32_t>& seats = seats_of_member_[member];
                assignment_.take(partition_of_zone(place), member);
                seats.erase(std::find(seats.begin(), seats.end(), partition_of_zone(place)));
            }
        }
        for (uint32_t place = end; place != from_[place]; place = from_[place]) {
            if (place >= first_member_) {
                const uint32_t partition = partition_of_zone(from_[place]);
                assignment_.give(partition, place - first_member_);
                seats_of_member_[place - first_member_].push_back(partition);
            }
        }
    }

    Assignment& assignment_;
    const Options& options_;
    const uint32_t first_zone_;
    const uint32_t first_member_;
    // Whence each place was reached; itself for the start.
    std::vector<uint32_t> from_;
    std::vector<uint32_t> visited_;
    std::vector<uint32_t> with_room_;
    std::vector<std::vector<uint32_t>> zone_members_;
    std::vector<std::vector<uint32_t>> seats_of_member_;
};

Assignment::Assignment(const Options& options,
                       std::span<const AssignmentMember> members,
                       std::span<const uint64_t> scores)
    : options_(options),
      members_(members),
      table_(size_t{options.partition_count} * options.seats),
      filled_(options.partition_count, 0),
      zone_use_(size_t{options.partition_count} * options.zone_count, 0),
      load_(members.size(), 0) {
    STARLING_CHECK(scores.size() == size_t{options.partition_count} * members.size());
    take_best_pairs(scores);
    fill_empty_seats();
}

std::span<const uint16_t> Assignment::members_of(uint32_t partition) const {
    return {table_.data() + size_t{partition} * options_.seats, filled_[partition]};
}

bool Assignment::has(uint32_t partition, uint32_t member) const {
    const std::span<const uint16_t> seats = members_of(partition);
    return std::find(seats.begin(), seats.end(), member) != seats.end();
}

uint8_t& Assignment::zone_use(uint32_t partition, uint32_t zone) {
    return zone_use_[size_t{partition} * options_.zone_count + zone];
}

void Assignment::give(uint32_t partition, uint32_t member) {
    STARLING_CHECK(filled_[partition] < options_.seats);
    table_[size_t{partition} * options_.seats + filled_[partition]] = static_cast<uint16_t>(member);
    ++filled_[partition];
    ++zone_use(partition, members_[member].zone);
    ++load_[member];
}

void Assignment::take(uint32_t partition, uint32_t member) {
    uint16_t* const begin = table_.data() + size_t{partition} * options_.seats;
    uint16_t* const end = begin + filled_[partition];
    uint16_t* const at = std::find(begin, end, static_cast<uint16_t>(member));
    STARLING_CHECK(at != end);
    *at = *(end - 1);
    --filled_[partition];
    --zone_use(partition, members_[member].zone);
    --load_[member];
}

void Assignment::take_best_pairs(std::span<const uint64_t> scores) {
    // One integer to a pair, so that sorting is quick: the score, then the pair's number, which
    // decides ties.
    constexpr int number_bits = 64 - pair_score_bits;
    constexpr uint64_t number_mask = (uint64_t{1} << number_bits) - 1;
    STARLING_CHECK(scores.size() <= number_mask);
    std::vector<uint64_t> pairs(scores.size());
    for (size_t i = 0; i < pairs.size(); ++i)
        pairs[i] = (scores[i] << number_bits) | i;
    std::sort(pairs.begin(), pairs.end());
    const uint64_t member_count = members_.size();
    for (const uint64_t pair : pairs) {
        const auto partition = static_cast<uint32_t>((pair & number_mask) / member_count);
        const auto member = static_cast<uint32_t>((pair & number_mask) % member_count);
        if (has_room(member) && filled_[partition] < options_.seats &&
            zone_use(partition, members_[member].zone) < options_.zone_seats_max) {
            give(partition, member);
        }
    }
}

void Assignment::fill_empty_seats() {
    const bool is_full = std::all_of(
        filled_.begin(), filled_.end(), [&](uint8_t filled) { return filled == options_.seats; });
    if (is_full) return;
    PathSearch search(*this);
    for (uint32_t partition = 0; partition < options_.partition_count; ++partition) {
        while (filled_[partition] < options_.seats)
            search.fill_seat_of(partition);
    }
}

}  // namespace starling::ring
