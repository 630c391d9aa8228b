#pragma once

// Processes that a benchmark or a cluster test runs beside itself, stopped by their own id when it
// ends.

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace starling::bench {

class ChildProcess {
  public:
    // Output goes to `log_path`. Ends the program when the child cannot be started.
    ChildProcess(const std::vector<std::string>& command, const std::string& log_path);
    // SIGTERM, then waits.
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    bool is_running();
    // User and system time so far, in seconds.
    double cpu_seconds() const;
    // From files and sockets, cached or not.
    uint64_t bytes_read() const;

  private:
    pid_t pid_ = 0;
};

}  // namespace starling::bench
