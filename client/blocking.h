#pragma once

// A call with a callback, as one that blocks.

#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"

namespace starling::client {

// `begin` takes a callback and sees to it that it is called once.
template <typename Response, typename Begin>
absl::StatusOr<Response> wait_for(Begin&& begin) {
    absl::StatusOr<Response> answer;
    absl::Notification answered;
    begin([&answer, &answered](absl::StatusOr<Response> result) {
        answer = std::move(result);
        answered.Notify();
    });
    answered.WaitForNotification();
    return answer;
}

}  // namespace starling::client
