#include "base/mark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::base {
namespace {

const Mark* find(std::string_view name) {
    for (const Mark* mark : Mark::all()) {
        if (mark->name() == name) return mark;
    }
    return nullptr;
}

void take(bool rare_path) {
    if (rare_path) STARLING_MARK(mark_test_rare);
    STARLING_MARK(mark_test_common);
}

void take_elsewhere() {
    STARLING_MARK(mark_test_common);
}

TEST(MarkTest, AMarkIsKnownBeforeItsCodeHasRun) {
    ASSERT_NE(find("mark_test_rare"), nullptr);
    ASSERT_NE(find("mark_test_common"), nullptr);
    EXPECT_EQ(find("mark_test_rare")->hits(), 0);
}

TEST(MarkTest, HitsCountOnceCountingBeginsAndFromZeroEachTime) {
    take(true);
    EXPECT_EQ(find("mark_test_rare")->hits(), 0);
    Mark::begin_counting();
    take(false);
    take(true);
    EXPECT_EQ(find("mark_test_rare")->hits(), 1);
    EXPECT_EQ(find("mark_test_common")->hits(), 2);
    Mark::begin_counting();
    EXPECT_EQ(find("mark_test_common")->hits(), 0);
}

TEST(MarkTest, TwoPlacesWithOneNameAreOneMark) {
    Mark::begin_counting();
    take(false);
    take_elsewhere();
    EXPECT_EQ(find("mark_test_common")->hits(), 2);
    int count = 0;
    for (const Mark* mark : Mark::all()) {
        count += mark->name() == "mark_test_common" ? 1 : 0;
    }
    EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace starling::base
