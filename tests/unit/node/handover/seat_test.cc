#include "node/handover/seat.h"

#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"

#include "rapidcheck.h"

namespace starling::node {
namespace {

constexpr base::ClusterId cluster(77);

Epoch epoch_of(uint64_t moves) {
    return {.claim = {}, .moves = moves};
}

SeatRecords sample() {
    return {{.state = SeatState::holding,
             .epoch = epoch_of(4),
             .highest = epoch_of(4),
             .permit = Permit{.seat = base::SeatIndex(2),
                              .epoch = epoch_of(1),
                              .giver = base::NodeId(9),
                              .attempt = 5}},
            {.state = SeatState::fenced,
             .epoch = epoch_of(1),
             .peer = base::NodeId(3),
             .highest = epoch_of(1)},
            {.highest = Epoch{.claim = {.counter = 2, .node = base::NodeId(8)}, .moves = 1}}};
}

HeldSeat held(uint16_t partition, uint8_t seat, uint64_t moves) {
    return {.partition = base::PartitionId(partition),
            .seat = base::SeatIndex(seat),
            .epoch = epoch_of(moves)};
}

TEST(SeatTest, AnEpochIsOrderedByClaimBeforeMoves) {
    const Epoch claimed{.claim = {.counter = 1, .node = base::NodeId(4)}, .moves = 0};
    EXPECT_LT(epoch_of(900), claimed);
    EXPECT_LT(claimed, claimed.after(1));
    const Epoch other_claimer{.claim = {.counter = 1, .node = base::NodeId(5)}, .moves = 0};
    EXPECT_LT(claimed.after(7), other_claimer);
}

TEST(SeatTest, RecordsComeBackAsTheyWere) {
    const auto decoded = decode_seat_records(encode_seat_records(cluster, sample()), cluster, 3);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, sample());
}

TEST(SeatTest, RecordsOfAnotherClusterAreNothing) {
    const auto decoded =
        decode_seat_records(encode_seat_records(cluster, sample()), base::ClusterId(78), 3);
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(*decoded, SeatRecords(3));
}

TEST(SeatTest, EveryTruncationOfRecordsIsRefused) {
    const std::string bytes = encode_seat_records(cluster, sample());
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_EQ(decode_seat_records(bytes.substr(0, size), cluster, 3).status().code(),
                  absl::StatusCode::kDataLoss)
            << size;
    }
    EXPECT_FALSE(decode_seat_records(bytes + "x", cluster, 3).ok());
    EXPECT_FALSE(decode_seat_records(bytes, cluster, 2).ok());
}

TEST(SeatTest, ARecordThatCannotHaveComeAboutIsRefused) {
    // Holding above its own highest epoch.
    std::string bytes =
        encode_seat_records(cluster, {{.state = SeatState::holding, .highest = Epoch{}}});
    ASSERT_TRUE(decode_seat_records(bytes, cluster, 1).ok());
    // Format, cluster, count, state, claim counter: then the moves.
    constexpr size_t moves_at = 1 + 8 + 1 + 1 + 1;
    bytes[moves_at] = 1;
    EXPECT_EQ(decode_seat_records(bytes, cluster, 1).status().code(), absl::StatusCode::kDataLoss);
}

TEST(SeatTest, HeldSeatsComeBackAsTheyWere) {
    const std::vector<HeldSeat> seats{held(0, 0, 0), held(0, 2, 5), held(255, 1, 1)};
    const auto decoded = decode_held_seats(encode_held_seats(seats), 256, 3);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, seats);
    EXPECT_EQ(encode_held_seats({}), "");
    EXPECT_TRUE(decode_held_seats("", 256, 3)->empty());
}

TEST(SeatTest, AFoundersListIsAFewKibibytes) {
    std::vector<HeldSeat> seats;
    for (uint16_t partition = 0; partition < 256; ++partition) {
        for (uint8_t seat = 0; seat < 3; ++seat) {
            seats.push_back(held(partition, seat, 0));
        }
    }
    EXPECT_LE(encode_held_seats(seats).size(), 3200u);
}

TEST(SeatTest, HeldSeatsOutOfRangeOrOrderAreRefused) {
    const std::string bytes = encode_held_seats({held(3, 1, 0), held(3, 2, 0)});
    EXPECT_TRUE(decode_held_seats(bytes, 4, 3).ok());
    EXPECT_FALSE(decode_held_seats(bytes, 3, 3).ok());
    EXPECT_FALSE(decode_held_seats(bytes, 4, 2).ok());
    EXPECT_FALSE(decode_held_seats(bytes + "x", 4, 3).ok());
    std::string repeated = bytes;
    // The second entry's seat, made equal to the first one's.
    repeated[repeated.size() - 3] = 1;
    EXPECT_FALSE(decode_held_seats(repeated, 4, 3).ok());
}

RC_GTEST_PROP(SeatTest, AnyBytesDecodeToWhatEncodesToThemOrNotAtAll, (const std::string& bytes)) {
    if (const auto seats = decode_held_seats(bytes, 256, 3); seats.ok()) {
        RC_ASSERT(encode_held_seats(*seats) == bytes);
    }
    if (const auto records = decode_seat_records(bytes, cluster, 3); records.ok()) {
        RC_ASSERT(*records == SeatRecords(3) || encode_seat_records(cluster, *records) == bytes);
    }
}

TEST(SeatTest, ASetOfSeatsBelowACount) {
    SeatSet seats;
    seats.add(base::SeatIndex(0));
    seats.add(base::SeatIndex(2));
    EXPECT_EQ(seats.size(), 2u);
    EXPECT_EQ(seats.below(2).size(), 1u);
    EXPECT_TRUE(seats.below(1).contains(base::SeatIndex(0)));
    EXPECT_EQ(seats.list(), (std::vector<base::SeatIndex>{base::SeatIndex(0), base::SeatIndex(2)}));
}

}  // namespace
}  // namespace starling::node
