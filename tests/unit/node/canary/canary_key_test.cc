#include "node/canary/canary_key.h"

#include <gtest/gtest.h>

namespace starling::node {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Step = CanaryKey::Step;

struct CanaryKeyTest : ::testing::Test {
    std::string put(bool is_acknowledged = true) {
        const std::string value = key.begin_put(now);
        key.write_ended(is_acknowledged, now);
        return value;
    }
    void remove(bool is_acknowledged = true) {
        key.begin_remove(now);
        key.write_ended(is_acknowledged, now);
    }
    std::optional<BrokenPromise> read(const std::vector<std::string>& values) {
        return key.read_ended(values);
    }

    const base::MonotonicTime born{};
    base::MonotonicTime now = born + minutes(10);
    CanaryKey key{"k", "life", minutes(2), born};
};

TEST_F(CanaryKeyTest, PutsReadsAndDeletesByTurns) {
    const Step wanted[] = {Step::put, Step::read, Step::put, Step::read, Step::remove, Step::read};
    std::string value;
    for (int round = 0; round < 2; ++round) {
        for (const Step step : wanted) {
            ASSERT_EQ(key.next_step(now), step);
            if (step == Step::put) {
                value = put();
            } else if (step == Step::remove) {
                remove();
                value.clear();
            } else {
                EXPECT_FALSE(read(value.empty() ? std::vector<std::string>() : std::vector{value})
                                 .has_value());
            }
        }
    }
}

TEST_F(CanaryKeyTest, AnAcknowledgedValueThatIsNotThereIsLost) {
    put();
    EXPECT_EQ(read({}), BrokenPromise::lost_write);
    EXPECT_EQ(read({"another life/1"}), BrokenPromise::lost_write);
}

TEST_F(CanaryKeyTest, AWriteOfAnEarlierLifeMayReplaceWhatIsWrittenInTheFirstMinutes) {
    now = born + seconds(119);
    put();
    EXPECT_EQ(read({}), std::nullopt);
    now = born + seconds(121);
    EXPECT_EQ(read({}), std::nullopt) << "written before, replaced perhaps then";
    put();
    EXPECT_EQ(read({}), BrokenPromise::lost_write);
}

TEST_F(CanaryKeyTest, AValueThatAnAcknowledgedPutReplacedIsStale) {
    const std::string first = put();
    const std::string second = put();
    EXPECT_EQ(read({first}), BrokenPromise::stale_read);
    EXPECT_EQ(read({first, second}), BrokenPromise::stale_read);
    EXPECT_EQ(read({second}), std::nullopt);
}

TEST_F(CanaryKeyTest, AValueThatAnAcknowledgedDeleteReplacedHasReturned) {
    const std::string first = put();
    remove();
    EXPECT_EQ(read({first}), BrokenPromise::deleted_returned);
    const std::string second = put();
    EXPECT_EQ(read({first, second}), BrokenPromise::deleted_returned);
}

TEST_F(CanaryKeyTest, BeforeTheFirstAcknowledgementAndOfOtherLivesNothingIsWrong) {
    EXPECT_EQ(read({"another life/7"}), std::nullopt);
    EXPECT_EQ(read({}), std::nullopt);
    const std::string value = put();
    EXPECT_EQ(read({"another life/7", value}), std::nullopt);
}

TEST_F(CanaryKeyTest, AFailedWriteExplainsAbsenceButBringsNothingBack) {
    const std::string first = put();
    const std::string second = put();
    const std::string failed = put(false);
    EXPECT_EQ(read({failed}), std::nullopt);
    EXPECT_EQ(read({second}), std::nullopt);
    EXPECT_EQ(read({}), std::nullopt) << "of a failed delete nothing is seen either";
    EXPECT_EQ(read({first}), BrokenPromise::stale_read);
}

TEST_F(CanaryKeyTest, InDoubtItOnlyReadsUntilAPutCanEndTheDoubt) {
    put();
    remove(false);
    EXPECT_TRUE(key.is_in_doubt());
    EXPECT_EQ(key.next_step(now), Step::read);
    now += minutes(2) + seconds(1);
    EXPECT_EQ(key.next_step(now), Step::put);
    put(false);
    EXPECT_EQ(key.next_step(now), Step::read) << "again";
    now += minutes(2) + seconds(1);
    put();
    EXPECT_FALSE(key.is_in_doubt());
    EXPECT_EQ(read({}), BrokenPromise::lost_write);
}

TEST_F(CanaryKeyTest, TheValueOfAFailedWriteMayShowUpLater) {
    const std::string failed = put(false);
    now += minutes(3);
    const std::string value = put();
    EXPECT_EQ(read({failed, value}), std::nullopt);
    EXPECT_EQ(read({failed}), BrokenPromise::lost_write) << "it was made before";
}

}  // namespace
}  // namespace starling::node
