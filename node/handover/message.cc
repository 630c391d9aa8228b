#include "node/handover/message.h"

#include "absl/status/status.h"
#include <fmt/format.h>

#include "starling/peer/handover.pb.h"

namespace starling::node {

static_assert(static_cast<int>(MoveKind::offer) == peer::HandoverMessage::OFFER);
static_assert(static_cast<int>(MoveKind::permit_ask) == peer::HandoverMessage::PERMIT_ASK);
static_assert(static_cast<int>(MoveKind::held_by_you) == peer::HandoverMessage::HELD_BY_YOU);

void to_proto(const Epoch& epoch, peer::SeatEpoch& out) {
    out.set_claim_counter(epoch.claim.counter);
    out.set_claim_node(epoch.claim.node.raw());
    out.set_moves(epoch.moves);
}

Epoch from_proto(const peer::SeatEpoch& in) {
    return {.claim = {.counter = in.claim_counter(), .node = base::NodeId(in.claim_node())},
            .moves = in.moves()};
}

void to_proto(const AddressedMove& move, peer::HandoverMessage& out) {
    const MoveMessage& message = move.message;
    out.set_kind(static_cast<peer::HandoverMessage::Kind>(message.kind));
    out.set_partition(move.partition.raw());
    out.set_seat(message.seat.raw());
    to_proto(message.epoch, *out.mutable_epoch());
    out.set_granting_seat(message.granting_seat.raw());
    out.set_attempt(message.attempt);
    out.set_from_generation(move.from_generation);
    out.set_to_generation(move.to_generation);
}

absl::StatusOr<AddressedMove> from_proto(const peer::HandoverMessage& in,
                                         uint32_t partition_count,
                                         uint8_t seat_count) {
    if (in.kind() < static_cast<int>(MoveKind::offer) ||
        in.kind() > static_cast<int>(MoveKind::held_by_you)) {
        return absl::InvalidArgumentError(
            fmt::format("unknown kind {}", static_cast<int>(in.kind())));
    }
    if (in.partition() >= partition_count) {
        return absl::InvalidArgumentError(fmt::format("no partition {}", in.partition()));
    }
    if (in.seat() >= seat_count || in.granting_seat() >= seat_count) {
        return absl::InvalidArgumentError(fmt::format("no seat {}", in.seat()));
    }
    AddressedMove move;
    move.partition = base::PartitionId(static_cast<uint16_t>(in.partition()));
    move.from_generation = in.from_generation();
    move.to_generation = in.to_generation();
    move.message.kind = static_cast<MoveKind>(in.kind());
    move.message.seat = base::SeatIndex(static_cast<uint8_t>(in.seat()));
    move.message.epoch = from_proto(in.epoch());
    move.message.granting_seat = base::SeatIndex(static_cast<uint8_t>(in.granting_seat()));
    move.message.attempt = in.attempt();
    return move;
}

std::string to_string(const MoveMessage& message) {
    static constexpr const char* names[] = {"?",
                                            "offer",
                                            "accept",
                                            "refuse",
                                            "withdrawn",
                                            "nearly",
                                            "permit_ask",
                                            "permit_grant",
                                            "permit_withdraw",
                                            "fenced",
                                            "declined",
                                            "held",
                                            "compare",
                                            "compared",
                                            "alive",
                                            "held by you"};
    std::string out = fmt::format("{} seat {} at {}",
                                  names[static_cast<size_t>(message.kind)],
                                  message.seat.raw(),
                                  to_string(message.epoch));
    if (message.attempt != 0) {
        out +=
            fmt::format(" by seat {}, attempt {:x}", message.granting_seat.raw(), message.attempt);
    }
    return out;
}

}  // namespace starling::node
