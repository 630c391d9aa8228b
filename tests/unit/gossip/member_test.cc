#include "gossip/member.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/gossip/generators.h"

namespace starling::gossip {
namespace {

MemberRecord sample() {
    MemberRecord record;
    record.id = base::NodeId(7);
    record.generation = 3;
    record.version = 9;
    record.peer_address = "127.0.0.1:4001";
    record.client_address = "127.0.0.1:3001";
    record.zone = "north";
    record.state = MemberState::member;
    record.payload = std::string("\0seats\xff", 7);
    record.software_version = "0.1.0";
    return record;
}

TEST(MemberTest, ARecordSurvivesItsEncoding) {
    const auto decoded = decode_member(encode(sample()));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, sample());
}

TEST(MemberTest, EveryTruncationIsRefused) {
    const std::string bytes = encode(sample());
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_TRUE(absl::IsInvalidArgument(decode_member(bytes.substr(0, size)).status())) << size;
    }
    EXPECT_FALSE(decode_member(bytes + "x").ok());
}

TEST(MemberTest, EachLimitIsEnforcedByNameOfTheField) {
    const auto refused = [](auto change) {
        MemberRecord record = sample();
        change(record);
        return std::string(validate(record).message());
    };
    const std::string long_text(member_string_bytes_max + 1, 'x');
    EXPECT_THAT(refused([](auto& r) { r.id = base::NodeId(); }), testing::HasSubstr("id"));
    EXPECT_THAT(refused([](auto& r) { r.generation = 0; }), testing::HasSubstr("generation"));
    EXPECT_THAT(refused([](auto& r) { r.peer_address = ""; }), testing::HasSubstr("peer_address"));
    EXPECT_THAT(refused([&](auto& r) { r.peer_address = long_text; }),
                testing::HasSubstr("peer_address"));
    EXPECT_THAT(refused([&](auto& r) { r.client_address = long_text; }),
                testing::HasSubstr("client_address"));
    EXPECT_THAT(refused([&](auto& r) { r.zone = long_text; }), testing::HasSubstr("zone"));
    EXPECT_THAT(refused([](auto& r) { r.zone = "a\nb"; }), testing::HasSubstr("zone"));
    EXPECT_THAT(refused([&](auto& r) { r.software_version = long_text; }),
                testing::HasSubstr("software_version"));
    EXPECT_THAT(refused([](auto& r) { r.weight = 0; }), testing::HasSubstr("weight"));
    EXPECT_THAT(refused([](auto& r) { r.weight = member_weight_max + 1; }),
                testing::HasSubstr("weight"));
    EXPECT_THAT(refused([](auto& r) { r.state = static_cast<MemberState>(9); }),
                testing::HasSubstr("state"));
    EXPECT_THAT(refused([](auto& r) { r.payload.resize(member_payload_bytes_max + 1); }),
                testing::HasSubstr("payload"));
}

TEST(MemberTest, TheLargestRecordFits) {
    MemberRecord record = sample();
    record.payload.resize(member_payload_bytes_max);
    record.peer_address.resize(member_string_bytes_max, 'x');
    record.client_address.resize(member_string_bytes_max, 'x');
    record.zone.resize(member_string_bytes_max, 'x');
    record.software_version.resize(member_string_bytes_max, 'x');
    record.version = UINT64_MAX;
    record.weight = member_weight_max;
    EXPECT_EQ(decode_member(encode(record)).value(), record);
}

TEST(MemberTest, GenerationOutweighsVersionAndVersionOutweighsContent) {
    MemberRecord low = sample();
    MemberRecord high = sample();
    high.generation += 1;
    high.version = 0;
    EXPECT_TRUE(compare(high, low) > 0);
    high = sample();
    high.version += 1;
    low.payload = "zzz";
    EXPECT_TRUE(compare(high, low) > 0);
    EXPECT_TRUE(compare(low, high) < 0);
}

RC_GTEST_PROP(MemberProperty, EncodingIsInjectiveAndReversible, ()) {
    const MemberRecord a = *any_record(3);
    const MemberRecord b = *any_record(3);
    RC_ASSERT(decode_member(encode(a)).value() == a);
    RC_ASSERT((encode(a) == encode(b)) == (a == b));
}

RC_GTEST_PROP(MemberProperty, TheOrderOfOneNodesRecordsIsTotal, ()) {
    const MemberRecord a = *any_record(1);
    const MemberRecord b = *any_record(1);
    const MemberRecord c = *any_record(1);
    RC_ASSERT((compare(a, b) == 0) == (a == b));
    RC_ASSERT((compare(a, b) < 0) == (compare(b, a) > 0));
    if (compare(a, b) <= 0 && compare(b, c) <= 0) RC_ASSERT(bool(compare(a, c) <= 0));
}

RC_GTEST_PROP(MemberProperty, DamagedBytesNeverDecodeToAnInvalidRecord, ()) {
    std::string bytes = encode(*any_record(3));
    const auto position = *rc::gen::inRange<size_t>(0, bytes.size());
    bytes[position] = static_cast<char>(*rc::gen::inRange(0, 256));
    const auto decoded = decode_member(bytes);
    if (decoded.ok()) {
        RC_ASSERT(validate(*decoded).ok());
        RC_ASSERT(encode(*decoded) == bytes);
    }
}

}  // namespace
}  // namespace starling::gossip
