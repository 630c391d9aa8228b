#pragma once

// A process that a test runs, kills and waits for, always by its own id. It dies with the test,
// and so it must be started by a thread that outlives it.

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/cluster/patience.h"

namespace starling::cluster_test {

class Process {
  public:
    // Output is appended to `log_path`. A program that cannot be run exits with 127.
    Process(std::vector<std::string> command, std::string log_path);
    // SIGKILL.
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    bool is_running();
    // SIGKILL, then waits: what the process held, ports and locks, is free afterwards.
    void kill();
    void send_signal(int signal);
    // The exit code, 128 + n after signal n; nothing when it runs on.
    std::optional<int> wait(Seconds deadline);

  private:
    pid_t pid_ = -1;
    std::optional<int> exit_code_;
};

}  // namespace starling::cluster_test
