#include "node/daemon/quantity.h"

#include <chrono>

#include "gtest/gtest.h"

namespace starling::node {
namespace {

TEST(QuantityTest, SizesAreAWholeNumberAndAUnit) {
    EXPECT_EQ(parse_bytes("512MiB"), 512ULL << 20);
    EXPECT_EQ(parse_bytes("0B"), 0u);
    EXPECT_EQ(parse_bytes("7KB"), 7000u);
    EXPECT_EQ(parse_bytes("1GiB"), 1ULL << 30);
}

TEST(QuantityTest, DurationsAreAWholeNumberAndAUnit) {
    EXPECT_EQ(parse_duration("250ms"), std::chrono::milliseconds(250));
    EXPECT_EQ(parse_duration("2s"), std::chrono::seconds(2));
    EXPECT_EQ(parse_duration("10m"), std::chrono::minutes(10));
}

TEST(QuantityTest, AnythingElseIsNone) {
    for (const char* text :
         {"", "12", "MiB", "1.5GiB", "-1B", "1 MiB", "1mib", "99999999999GiB", "1MiB "}) {
        EXPECT_FALSE(parse_bytes(text).has_value()) << text;
    }
    for (const char* text : {"", "12", "s", "1.5s", "-1s", "1 s", "1S", "9999999999999h"}) {
        EXPECT_FALSE(parse_duration(text).has_value()) << text;
    }
}

}  // namespace
}  // namespace starling::node
