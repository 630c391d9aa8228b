#include "node/handover/seat.h"

#include "absl/status/status.h"
#include <fmt/format.h>

#include "base/check.h"

namespace starling::node {

namespace {

constexpr uint8_t records_format = 1;
constexpr uint8_t held_format = 1;

void put_epoch(std::string& out, const Epoch& epoch) {
    base::put_varint(out, epoch.claim.counter);
    if (epoch.claim.counter != 0) {
        base::put_u64(out, epoch.claim.node.raw());
    }
    base::put_varint(out, epoch.moves);
}

Epoch read_epoch(base::Reader& in) {
    Epoch epoch;
    epoch.claim.counter = in.varint();
    if (epoch.claim.counter != 0) {
        epoch.claim.node = base::NodeId(in.u64());
    }
    epoch.moves = in.varint();
    return epoch;
}

bool read_flag(base::Reader& in) {
    const uint8_t flag = in.u8();
    if (flag > 1) {
        in.fail();
    }
    return flag == 1;
}

void put_permit(std::string& out, const Permit& permit) {
    base::put_u8(out, permit.seat.raw());
    put_epoch(out, permit.epoch);
    base::put_u64(out, permit.giver.raw());
    base::put_u64(out, permit.attempt);
}

Permit read_permit(base::Reader& in, uint8_t seat_count) {
    Permit permit;
    permit.seat = base::SeatIndex(in.u8());
    permit.epoch = read_epoch(in);
    permit.giver = base::NodeId(in.u64());
    permit.attempt = in.u64();
    if (permit.seat.raw() >= seat_count || permit.giver.is_none()) {
        in.fail();
    }
    return permit;
}

void put_record(std::string& out, const SeatRecord& record) {
    base::put_u8(out, static_cast<uint8_t>(record.state));
    if (record.state != SeatState::none) {
        put_epoch(out, record.epoch);
        base::put_u64(out, record.peer.raw());
    }
    base::put_u8(out, record.highest ? 1 : 0);
    if (record.highest) {
        put_epoch(out, *record.highest);
    }
    base::put_u8(out, record.permit ? 1 : 0);
    if (record.permit) {
        put_permit(out, *record.permit);
    }
}

// What every record satisfies, whatever happened before.
bool is_consistent(const SeatRecord& record) {
    const bool has_counted = record.state == SeatState::holding ||
                             record.state == SeatState::fenced ||
                             record.state == SeatState::declined;
    if (has_counted && (!record.highest || *record.highest < record.epoch)) return false;
    if (record.permit && record.state != SeatState::holding) return false;
    const bool needs_peer = record.state == SeatState::filling ||
                            record.state == SeatState::fenced ||
                            record.state == SeatState::declined;
    return needs_peer != record.peer.is_none();
}

SeatRecord read_record(base::Reader& in, uint8_t seat_count) {
    SeatRecord record;
    const uint8_t state = in.u8();
    if (state > static_cast<uint8_t>(SeatState::declined)) {
        in.fail();
        return record;
    }
    record.state = static_cast<SeatState>(state);
    if (record.state != SeatState::none) {
        record.epoch = read_epoch(in);
        record.peer = base::NodeId(in.u64());
    }
    if (read_flag(in)) {
        record.highest = read_epoch(in);
    }
    if (read_flag(in)) {
        record.permit = read_permit(in, seat_count);
    }
    if (!is_consistent(record)) {
        in.fail();
    }
    return record;
}

}  // namespace

std::string encode_seat_records(base::ClusterId cluster, const SeatRecords& records) {
    STARLING_CHECK(!records.empty() && records.size() <= seat_count_max);
    std::string out;
    base::put_u8(out, records_format);
    base::put_u64(out, cluster.raw());
    base::put_u8(out, static_cast<uint8_t>(records.size()));
    for (const SeatRecord& record : records) {
        STARLING_CHECK(is_consistent(record));
        put_record(out, record);
    }
    return out;
}

absl::StatusOr<SeatRecords> decode_seat_records(std::string_view bytes,
                                                base::ClusterId cluster,
                                                uint8_t seat_count) {
    base::Reader in(bytes);
    if (in.u8() != records_format) {
        return absl::DataLossError("seat records: unknown format");
    }
    if (const base::ClusterId stored(in.u64()); !in.failed() && stored != cluster) {
        return SeatRecords(seat_count);
    }
    if (in.u8() != seat_count) {
        return absl::DataLossError(fmt::format("seat records: not of {} seats", seat_count));
    }
    SeatRecords records;
    for (uint8_t seat = 0; seat < seat_count; ++seat) {
        records.push_back(read_record(in, seat_count));
    }
    if (!in.finished()) {
        return absl::DataLossError("seat records: malformed");
    }
    return records;
}

std::string encode_held_seats(const std::vector<HeldSeat>& seats) {
    std::string out;
    if (seats.empty()) {
        return out;
    }
    base::put_u8(out, held_format);
    base::put_varint(out, seats.size());
    uint32_t partition = 0;
    for (size_t i = 0; i < seats.size(); ++i) {
        const HeldSeat& held = seats[i];
        STARLING_CHECK(i == 0 || std::tie(seats[i - 1].partition, seats[i - 1].seat) <
                                     std::tie(held.partition, held.seat));
        base::put_varint(out, held.partition.raw() - partition);
        partition = held.partition.raw();
        base::put_u8(out, held.seat.raw());
        put_epoch(out, held.epoch);
    }
    return out;
}

absl::StatusOr<std::vector<HeldSeat>> decode_held_seats(std::string_view bytes,
                                                        uint32_t partition_count,
                                                        uint8_t seat_count) {
    std::vector<HeldSeat> seats;
    if (bytes.empty()) {
        return seats;
    }
    base::Reader in(bytes);
    if (in.u8() != held_format) {
        return absl::InvalidArgumentError("held seats: unknown format");
    }
    constexpr size_t entry_bytes_min = 4;
    const size_t count = in.count(entry_bytes_min);
    if (count == 0 || count > size_t{partition_count} * seat_count) {
        return absl::InvalidArgumentError("held seats: impossible count");
    }
    seats.reserve(count);
    uint64_t partition = 0;
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const uint64_t step = in.varint();
        // Checked apart, so that the sum cannot wrap.
        if (step >= partition_count || partition + step >= partition_count) {
            return absl::InvalidArgumentError("held seats: partition out of range");
        }
        partition += step;
        const uint8_t seat = in.u8();
        const HeldSeat held{.partition = base::PartitionId(static_cast<uint16_t>(partition)),
                            .seat = base::SeatIndex(seat),
                            .epoch = read_epoch(in)};
        const bool is_in_order = seats.empty() || seats.back().partition < held.partition ||
                                 seats.back().seat < held.seat;
        if (seat >= seat_count || !is_in_order) {
            return absl::InvalidArgumentError("held seats: seat out of range or order");
        }
        seats.push_back(held);
    }
    if (!in.finished()) {
        return absl::InvalidArgumentError("held seats: malformed");
    }
    return seats;
}

std::string to_string(const Epoch& epoch) {
    if (epoch.claim == ClaimNumber{}) {
        return fmt::format("0.{}", epoch.moves);
    }
    return fmt::format("{}@{}.{}", epoch.claim.counter, to_string(epoch.claim.node), epoch.moves);
}

std::string to_string(SeatState state) {
    switch (state) {
        case SeatState::none:
            return "none";
        case SeatState::filling:
            return "filling";
        case SeatState::holding:
            return "holding";
        case SeatState::fenced:
            return "fenced";
        case SeatState::declined:
            return "declined";
    }
    return "invalid";
}

std::string to_string(const SeatRecord& record) {
    std::string out = to_string(record.state);
    if (record.state != SeatState::none) {
        out += fmt::format("({})", to_string(record.epoch));
    }
    if (!record.peer.is_none()) {
        out += fmt::format(" peer {}", to_string(record.peer));
    }
    if (record.highest) {
        out += fmt::format(" highest {}", to_string(*record.highest));
    }
    if (record.permit) {
        out += fmt::format(" permit for seat {}", record.permit->seat.raw());
    }
    return out;
}

}  // namespace starling::node
