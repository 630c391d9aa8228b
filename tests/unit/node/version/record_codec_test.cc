#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/crc32c.h"
#include "node/version/record.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;
using testing::encoded;
using testing::removal;
using testing::request;
using testing::write;

Record some_record() {
    Record record = mint({}, {}, write(dot(1, 5), 1, "first"));
    record = mint(record, Superseded::by_reading(record), write(dot(2, 300), 2, ""));
    record = mint(record, {}, removal(dot(1, 6), 3));
    NewWrite expiring = write(dot(3, 1), 4, std::string(300, 'x'));
    expiring.expires_ms = 1'900'000'000'000;
    expiring.time = {.wall_ms = 1'700'000'000'000, .logical = 77};
    return mint(record, {}, expiring);
}

// A random record that keeps the invariants, by minting and superseding at random.
Record any_record() {
    Record record;
    const auto steps = *rc::gen::container<std::vector<std::tuple<uint8_t, uint8_t, std::string>>>(
        rc::gen::tuple(rc::gen::inRange<uint8_t>(1, 5),
                       rc::gen::arbitrary<uint8_t>(),
                       rc::gen::string<std::string>()));
    uint64_t number = 0;
    for (const auto& [node, bits, value] : steps) {
        ++number;
        NewWrite next = write(dot(node, number), number, value);
        next.expires_ms = (bits & 1) != 0 ? number : 0;
        if ((bits & 2) != 0) {
            next.is_tombstone = true;
            next.value.clear();
        }
        const Superseded seen = (bits & 4) != 0 ? Superseded::by_reading(record) : Superseded{};
        record = mint(record, seen, std::move(next));
    }
    return record;
}

// Changes the bytes before the checksum, and makes the checksum fit again.
std::string with_fitting_checksum(std::string bytes) {
    bytes.resize(bytes.size() - 4);
    base::put_u32(bytes, base::crc32c(bytes));
    return bytes;
}

TEST(RecordCodecTest, DecodesWhatItEncodes) {
    const auto decoded = decode_record(encoded(some_record()));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, some_record());
    EXPECT_EQ(*decode_record(encoded({})), Record{});
}

TEST(RecordCodecTest, AppendsToWhatIsThere) {
    std::string bytes = "before";
    encode_record(bytes, some_record());
    EXPECT_EQ(*decode_record(std::string_view(bytes).substr(6)), some_record());
}

TEST(RecordCodecTest, AValueOf256BytesCostsLittleMore) {
    Record record = mint({}, {}, write(dot(1, 100'000), 1'700'000'000'000, std::string(256, 'v')));
    EXPECT_LE(encoded(record).size(), 256u + 72u);
}

RC_GTEST_PROP(RecordCodecTest, DecodesWhateverIsEncoded, ()) {
    const Record record = any_record();
    const auto decoded = decode_record(encoded(record));
    RC_ASSERT(decoded.ok());
    RC_ASSERT(*decoded == record);
}

RC_GTEST_PROP(RecordCodecTest, WhateverDecodesEncodesToTheSameBytes, ()) {
    std::string bytes = encoded(any_record());
    const auto flips = *rc::gen::container<std::vector<std::pair<size_t, char>>>(
        rc::gen::pair(rc::gen::inRange<size_t>(0, bytes.size()), rc::gen::arbitrary<char>()));
    for (const auto& [at, value] : flips)
        bytes[at] = value;
    bytes = with_fitting_checksum(bytes);
    const auto decoded = decode_record(bytes);
    if (decoded.ok()) {
        RC_ASSERT(encoded(*decoded) == bytes);
    } else {
        RC_ASSERT(decoded.status().code() == absl::StatusCode::kDataLoss);
    }
}

TEST(RecordCodecTest, ASingleFlippedBitIsDataLoss) {
    const std::string bytes = encoded(some_record());
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_EQ(decode_record(flipped).status().code(), absl::StatusCode::kDataLoss) << bit;
    }
}

TEST(RecordCodecTest, EachFlippedBitWithAFittingChecksumIsRefusedOrCanonical) {
    const std::string bytes = encoded(some_record());
    for (size_t bit = 0; bit < (bytes.size() - 4) * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        flipped = with_fitting_checksum(flipped);
        const auto decoded = decode_record(flipped);
        if (decoded.ok()) {
            EXPECT_EQ(encoded(*decoded), flipped) << bit;
        }
    }
}

TEST(RecordCodecTest, EachTruncationIsDataLoss) {
    const std::string bytes = encoded(some_record());
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_record(bytes.substr(0, size)).ok()) << size;
        if (size >= 4) {
            EXPECT_FALSE(decode_record(with_fitting_checksum(bytes.substr(0, size))).ok()) << size;
        }
    }
    EXPECT_FALSE(decode_record(with_fitting_checksum(bytes + "x")).ok());
}

TEST(RecordCodecTest, RefusesRecordsThatBreakTheInvariants) {
    const auto refuses = [](auto change) {
        Record record = some_record();
        change(record);
        return decode_record(encoded(record)).status().code() == absl::StatusCode::kDataLoss;
    };
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[1].request = r.siblings[0].request; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[0].request = {}; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[0].hidden_by = {r.siblings[0].request}; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[0].request = r.gone[0]; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[0].dot.sequence = 0; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[0].dot.sequence = 1000; }));
    EXPECT_TRUE(refuses([](Record& r) { std::swap(r.siblings[0], r.siblings[1]); }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings[1] = r.siblings[0]; }));
    EXPECT_TRUE(refuses([](Record& r) { r.siblings.back().dot = dot(9, 1); }));
    EXPECT_TRUE(refuses([](Record& r) { r.gone = {request(8), request(7)}; }));
    EXPECT_TRUE(refuses([](Record& r) { r.gone = {request(8), request(8)}; }));
}

RC_GTEST_PROP(RecordCodecTest, ArbitraryBytesAreNeverTakenForARecord, (std::string bytes)) {
    const auto decoded = decode_record(bytes);
    RC_ASSERT(!decoded.ok());
}

}  // namespace
}  // namespace starling::node
