#include "base/error.h"

#include <gtest/gtest.h>

namespace starling::base {
namespace {

TEST(ErrorTest, AReasonTravelsWithItsStatus) {
    const absl::Status status =
        make_error(absl::StatusCode::kUnavailable, reason::no_owner, "no owner answered");
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(reason_of(status), "no_owner");
    EXPECT_EQ(reason_of(absl::OkStatus()), "");
    EXPECT_EQ(reason_of(absl::NotFoundError("x")), "");
}

}  // namespace
}  // namespace starling::base
