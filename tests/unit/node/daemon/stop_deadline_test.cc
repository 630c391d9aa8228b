#include "node/daemon/stop_deadline.h"

#include <chrono>
#include <thread>

#include "gtest/gtest.h"
#include <unistd.h>

#include "node/daemon/exit_codes.h"

namespace starling::node {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(StopDeadlineDeathTest, AStopThatHangsEndsTheProcess) {
    EXPECT_EXIT(
        {
            const StopDeadline deadline(milliseconds(10));
            std::this_thread::sleep_for(hours(1));
        },
        testing::ExitedWithCode(exit_stop_overdue),
        "not stopped within the deadline");
}

TEST(StopDeadlineDeathTest, AStopInTimeEndsNothing) {
    EXPECT_EXIT(
        {
            {
                const StopDeadline deadline(milliseconds(50));
            }
            std::this_thread::sleep_for(milliseconds(200));
            ::_exit(exit_ok);
        },
        testing::ExitedWithCode(exit_ok),
        "");
}

}  // namespace
}  // namespace starling::node
