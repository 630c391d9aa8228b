#pragma once

// What nodes say to each other about a move. Each message states a fact of the sender's durable
// state, or asks for something whose loss or repetition does no harm.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "base/ids.h"
#include "node/handover/seat.h"

namespace starling::peer {
class HandoverMessage;
class SeatEpoch;
}  // namespace starling::peer

namespace starling::node {

enum class MoveKind : uint8_t {
    offer = 1,       // giver: I hold the seat at `epoch`, will you take it?
    accept = 2,      // successor: I am filling for `epoch` (also asks: do you still offer?)
    refuse = 3,      // successor: not me, not now
    withdrawn = 4,   // giver: I am not giving you the seat at `epoch`
    nearly = 5,      // successor: my copy is nearly in step
    permit_ask = 6,  // giver to the holder of `granting_seat`: may my seat be absent for a moment?
    permit_grant = 7,     // yes (also asks: do you still need it?)
    permit_withdraw = 8,  // giver: I do not need it (this attempt and earlier ones)
    fenced = 9,           // giver: I no longer count at `epoch`; take the last difference
    declined = 10,        // successor: I will never hold as successor of `epoch`
    held = 11,            // I hold the seat at `epoch`
    compare = 12,         // giver to a later holder: make sure you have all I have
    compared = 13,        // holder: I do
    alive = 14,           // I am in another life than the one you spoke to; nothing else
    held_by_you = 15,     // you held the seat at `epoch`, and I know of nobody who has since
};

struct MoveMessage {
    MoveKind kind{};
    base::SeatIndex seat;
    // For held: the sender's. Else: the one at which the giver holds, held and grants the seat.
    Epoch epoch;
    // Of the three permit messages.
    base::SeatIndex granting_seat{};
    uint64_t attempt = 0;

    friend auto operator<=>(const MoveMessage&, const MoveMessage&) = default;
};

// A message with its addressing as it travels.
struct AddressedMove {
    base::PartitionId partition;
    uint32_t from_generation = 0;
    // 0: not known.
    uint32_t to_generation = 0;
    MoveMessage message;
};

void to_proto(const Epoch& epoch, peer::SeatEpoch& out);
Epoch from_proto(const peer::SeatEpoch& in);
void to_proto(const AddressedMove& move, peer::HandoverMessage& out);
// invalid_argument for an unknown kind or a partition or seat out of range.
absl::StatusOr<AddressedMove> from_proto(const peer::HandoverMessage& in,
                                         uint32_t partition_count,
                                         uint8_t seat_count);

std::string to_string(const MoveMessage& message);

}  // namespace starling::node
