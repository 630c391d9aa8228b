#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/hmac.h"

namespace starling::base {
namespace {

TEST(ChecksumTest, Crc32cHasTheKnownValues) {
    EXPECT_EQ(crc32c("bar"), 179770161U);
    EXPECT_EQ(crc32c("bar1"), 1383588930U);
    EXPECT_EQ(crc32c("bar2"), 1093081014U);
    EXPECT_EQ(crc32c("bar3"), 3008140469U);
    EXPECT_EQ(crc32c("conflicts_resolved"), 3289643150U);
    EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
}

TEST(ChecksumTest, Crc32cOfPartsIsThatOfTheWhole) {
    const std::string text = "the quick brown fox jumps over the lazy dog";
    for (size_t cut = 0; cut <= text.size(); ++cut) {
        EXPECT_EQ(crc32c_extend(crc32c(text.substr(0, cut)), text.substr(cut)), crc32c(text));
    }
}

TEST(ChecksumTest, Crc32cOfLongBytesIsThatOfTheirShortParts) {
    std::string bytes;
    for (int i = 0; i < 3000; ++i) {
        bytes.push_back(static_cast<char>(i * 7 + i / 256));
    }
    for (const size_t size : {767u, 768u, 769u, 1535u, 1536u, 2304u, 3000u}) {
        const std::string_view whole = std::string_view(bytes).substr(0, size);
        uint32_t by_parts = 0;
        for (size_t at = 0; at < size; at += 5) {
            by_parts = crc32c_extend(by_parts, whole.substr(at, 5));
        }
        EXPECT_EQ(crc32c(whole), by_parts) << size;
    }
}

TEST(ChecksumTest, Xxh3HasTheKnownValues) {
    EXPECT_EQ(static_cast<uint32_t>(xxh3_64("foo")), 125730186U);
    EXPECT_EQ(static_cast<uint32_t>(xxh3_64("bar")), 2687685474U);
    EXPECT_EQ(static_cast<uint32_t>(xxh3_64("baz")), 862947621U);
}

TEST(ChecksumTest, HmacHasTheValueOfRfc4231Case2) {
    const HmacTag tag = hmac_sha256("Jefe", "what do ya want for nothing?");
    EXPECT_EQ(tag[0], 0x5b);
    EXPECT_EQ(tag[1], 0xdc);
    EXPECT_EQ(tag[31], 0x43);
}

TEST(ChecksumTest, AnHmacKeyTagsAsTheWholeComputationDoes) {
    std::string message;
    for (const size_t secret_bytes : {0u, 1u, 16u, 63u, 64u, 65u, 200u}) {
        const std::string secret(secret_bytes, 'k');
        const HmacKey key(secret);
        for (const size_t size : {0u, 1u, 55u, 56u, 64u, 119u, 1000u}) {
            message.assign(size, 'm');
            EXPECT_EQ(key.tag_of(message), hmac_sha256(secret, message))
                << secret_bytes << " bytes of secret, " << size << " of message";
        }
    }
}

TEST(ChecksumTest, ConstantTimeComparisonSeesEveryDifference) {
    EXPECT_TRUE(equal_constant_time("abc", "abc"));
    EXPECT_FALSE(equal_constant_time("abc", "abd"));
    EXPECT_FALSE(equal_constant_time("abc", "ab"));
}

}  // namespace
}  // namespace starling::base
