#pragma once

// Who counts for a partition. A partition has `seat_count` seats; a node counts for R and W only
// with the seats it is in `holding` for. This file has the values: what a node keeps on disk about
// the seats of one partition (docs/formats/seat.md), and the list of held seats that it tells the
// others in its member record. What may follow what is move_core.h; why is docs/handover.md.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "base/codec.h"
#include "base/ids.h"
#include "node/replica/seat_set.h"

namespace starling::node {

// Names one take-over of a seat without its holder. No two claimers share one. Always {0, none} as
// long as ownership passes by moves only.
struct ClaimNumber {
    uint64_t counter = 0;
    base::NodeId node;
    friend auto operator<=>(const ClaimNumber&, const ClaimNumber&) = default;
};

// Orders the holders of one seat in time: by claim, then by moves within it. At most one node is
// ever in `holding` at one epoch of one seat.
struct Epoch {
    ClaimNumber claim;
    uint64_t moves = 0;

    // The epoch `steps` moves later: 1 for the successor, 2 for a giver that takes the seat back.
    Epoch after(uint64_t steps) const { return {.claim = claim, .moves = moves + steps}; }
    friend auto operator<=>(const Epoch&, const Epoch&) = default;
};

enum class SeatState : uint8_t {
    none = 0,  // nothing to do with it
    filling =
        1,  // accepted the offer made at `epoch` by `peer`; copies, stores writes, does not count
    holding = 2,   // counts, at `epoch`
    fenced = 3,    // gave it to `peer` at `epoch`; will never count at `epoch` again
    declined = 4,  // gives the unfinished move at `epoch` back to `peer`
};

// Leave, given by the holder of a seat, for another seat of the partition to be without a counting
// node for a moment. A seat gives one at a time.
struct Permit {
    // The seat that moves, and at which epoch; its giver.
    base::SeatIndex seat;
    Epoch epoch;
    base::NodeId giver;
    // Which try of the giver: rises through its restarts.
    uint64_t attempt = 0;
    friend bool operator==(const Permit&, const Permit&) = default;
};

// One node's durable knowledge of one seat.
struct SeatRecord {
    SeatState state = SeatState::none;
    Epoch epoch{};
    base::NodeId peer{};
    // The highest epoch this node ever held, granted or declined; outlives everything else of the
    // seat.
    std::optional<Epoch> highest{};
    // Only in `holding`.
    std::optional<Permit> permit{};
    friend bool operator==(const SeatRecord&, const SeatRecord&) = default;
};

// Of one partition, by seat. One value on disk, so that what concerns several seats changes at
// once.
using SeatRecords = std::vector<SeatRecord>;

// The cluster is stored along: seats of another cluster (that this node belonged to, or founded,
// before it joined) must not come alive again.
std::string encode_seat_records(base::ClusterId cluster, const SeatRecords& records);
// `seat_count` default records when the value belongs to another cluster; data_loss when it is not
// a valid value with exactly `seat_count` seats.
absl::StatusOr<SeatRecords> decode_seat_records(std::string_view bytes,
                                                base::ClusterId cluster,
                                                uint8_t seat_count);

// One entry of the list in a member record.
struct HeldSeat {
    base::PartitionId partition;
    base::SeatIndex seat;
    Epoch epoch;
    friend auto operator<=>(const HeldSeat&, const HeldSeat&) = default;
};

// REQUIRES: ordered by partition and seat, none twice.
std::string encode_held_seats(const std::vector<HeldSeat>& seats);
// invalid_argument when `bytes` is not what encode_held_seats() writes for partitions below
// `partition_count` and seats below `seat_count`. An empty string is an empty list.
absl::StatusOr<std::vector<HeldSeat>> decode_held_seats(std::string_view bytes,
                                                        uint32_t partition_count,
                                                        uint8_t seat_count);

std::string to_string(const Epoch& epoch);
std::string to_string(SeatState state);
std::string to_string(const SeatRecord& record);

}  // namespace starling::node
