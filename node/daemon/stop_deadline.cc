#include "node/daemon/stop_deadline.h"

#include <string_view>

#include <unistd.h>

#include "node/daemon/exit_codes.h"

namespace starling::node {

StopDeadline::StopDeadline(base::Duration timeout)
    : thread_([this, timeout] {
          if (is_stopped_.WaitForNotificationWithTimeout(absl::FromChrono(timeout))) {
              return;
          }
          // The log may be what hangs.
          constexpr std::string_view text =
              "starlingd: not stopped within the deadline; ending now\n";
          [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
          ::_exit(exit_stop_overdue);
      }) {}

StopDeadline::~StopDeadline() {
    is_stopped_.Notify();
    thread_.join();
}

}  // namespace starling::node
