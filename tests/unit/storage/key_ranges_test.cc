#include "storage/key_ranges.h"

#include <gtest/gtest.h>

namespace starling::storage {
namespace {

using Ranges = std::vector<KeyRange>;

TEST(KeyRangesTest, RangesThatOverlapOrTouchBecomeOne) {
    EXPECT_EQ(united({{"c", "d"}, {"a", "b"}}), (Ranges{{"a", "b"}, {"c", "d"}}));
    EXPECT_EQ(united({{"a", "c"}, {"b", "d"}}), (Ranges{{"a", "d"}}));
    EXPECT_EQ(united({{"a", "b"}, {"b", "c"}}), (Ranges{{"a", "c"}}));
    EXPECT_EQ(united({{"a", "z"}, {"b", "c"}, {"d", "e"}}), (Ranges{{"a", "z"}}));
    // No key lies between them.
    EXPECT_EQ(united({{"a", "b"}, {std::string("b\0", 2), "c"}}), (Ranges{{"a", "c"}}));
    EXPECT_EQ(united({{"a", "b"}, {std::string("b\0\0", 3), "c"}}).size(), 2u);
    EXPECT_EQ(united({{"", ""}, {"x", "x"}}), (Ranges{{"", ""}, {"x", "x"}}));
}

TEST(KeyRangesTest, ARangeThatEndsBeforeItBeginsHoldsNothing) {
    EXPECT_EQ(united({{"b", "a"}}), Ranges());
    EXPECT_FALSE(covers(united({{"b", "a"}}), {"b", "b"}));
}

TEST(KeyRangesTest, ARangeIsCoveredByOneAsAWholeOrNotAtAll) {
    const Ranges ranges = {{"b", "d"}, {"f", "f"}};
    for (const KeyRange& inside :
         Ranges{{"b", "d"}, {"b", "b"}, {"c", "cc"}, {"d", "d"}, {"f", "f"}}) {
        EXPECT_TRUE(covers(ranges, inside)) << inside.first << " to " << inside.last;
    }
    for (const KeyRange& beyond : Ranges{
             {"a", "a"}, {"a", "b"}, {"c", "e"}, {"d", "f"}, {"e", "e"}, {"f", "g"}, {"", "z"}}) {
        EXPECT_FALSE(covers(ranges, beyond)) << beyond.first << " to " << beyond.last;
    }
    EXPECT_FALSE(covers({}, {"a", "a"}));
}

}  // namespace
}  // namespace starling::storage
