#pragma once

#include <thread>

#include "absl/synchronization/notification.h"

#include "base/time.h"

namespace starling::node {

// Ends the process (exit_stop_overdue) when a stop takes longer than `timeout`: unless this object
// is gone by then.
class StopDeadline {
  public:
    explicit StopDeadline(base::Duration timeout);
    ~StopDeadline();
    StopDeadline(const StopDeadline&) = delete;
    StopDeadline& operator=(const StopDeadline&) = delete;

  private:
    absl::Notification is_stopped_;
    std::thread thread_;
};

}  // namespace starling::node
