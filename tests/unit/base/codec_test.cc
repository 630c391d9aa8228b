#include "base/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace starling::base {
namespace {

TEST(CodecTest, FixedIntegersComeBackInOrder) {
    std::string out;
    put_u8(out, 0xab);
    put_u16(out, 0x1234);
    put_u32(out, 0xdeadbeef);
    put_u64(out, 0x0123456789abcdefULL);
    put_u16_ordered(out, 0x1234);
    put_u64_ordered(out, 0x0123456789abcdefULL);
    Reader in(out);
    EXPECT_EQ(in.u8(), 0xab);
    EXPECT_EQ(in.u16(), 0x1234);
    EXPECT_EQ(in.u32(), 0xdeadbeefU);
    EXPECT_EQ(in.u64(), 0x0123456789abcdefULL);
    EXPECT_EQ(in.u16_ordered(), 0x1234);
    EXPECT_EQ(in.u64_ordered(), 0x0123456789abcdefULL);
    EXPECT_TRUE(in.finished());
}

RC_GTEST_PROP(CodecTest,
              VarintsAndByteStringsComeBack,
              (uint64_t number, const std::string& bytes)) {
    std::string out;
    put_varint(out, number);
    put_bytes(out, bytes);
    Reader in(out);
    RC_ASSERT(in.varint() == number);
    RC_ASSERT(in.bytes() == bytes);
    RC_ASSERT(in.finished());
}

RC_GTEST_PROP(CodecTest, OrderedIntegersOrderAsTheirBytes, (uint64_t a, uint64_t b)) {
    std::string left;
    std::string right;
    put_u64_ordered(left, a);
    put_u64_ordered(right, b);
    RC_ASSERT((left < right) == (a < b));
}

TEST(CodecTest, EveryCutOfAnEncodingFailsForGood) {
    std::string out;
    put_u32(out, 7);
    put_varint(out, 300);
    put_bytes(out, "value");
    for (size_t length = 0; length < out.size(); ++length) {
        Reader in(std::string_view(out).substr(0, length));
        in.u32();
        in.varint();
        in.bytes();
        EXPECT_TRUE(in.failed()) << length;
        EXPECT_FALSE(in.finished());
        EXPECT_EQ(in.u64(), 0U);
    }
}

TEST(CodecTest, ANumberHasOnlyItsShortestEncoding) {
    EXPECT_EQ(Reader(std::string_view("\x80\x00", 2)).varint(), 0U);
    Reader padded(std::string_view("\x80\x00", 2));
    padded.varint();
    EXPECT_TRUE(padded.failed());
    Reader overflowing(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
    overflowing.varint();
    EXPECT_TRUE(overflowing.failed());
}

TEST(CodecTest, ACountThatTheRestCannotHoldFails) {
    std::string out;
    put_varint(out, 1'000'000'000);
    Reader in(out);
    EXPECT_EQ(in.count(1), 0U);
    EXPECT_TRUE(in.failed());
}

}  // namespace
}  // namespace starling::base
