#include "tests/bench/child_process.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

namespace starling::bench {

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::string& log_path) {
    pid_ = ::fork();
    if (pid_ < 0) {
        std::perror("fork");
        std::exit(1);
    }
    if (pid_ > 0) {
        return;
    }
    const int log = ::open(log_path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    std::perror(arguments[0]);
    ::_exit(127);
}

ChildProcess::~ChildProcess() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
}

bool ChildProcess::is_running() {
    return ::waitpid(pid_, nullptr, WNOHANG) == 0;
}

double ChildProcess::cpu_seconds() const {
    std::ifstream stat(fmt::format("/proc/{}/stat", pid_));
    std::string word;
    double ticks = 0;
    for (int field = 1; stat >> word; ++field) {
        if (field == 14 || field == 15) {
            ticks += std::stod(word);
        }
    }
    return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

uint64_t ChildProcess::bytes_read() const {
    std::ifstream io(fmt::format("/proc/{}/io", pid_));
    std::string name;
    uint64_t value = 0;
    while (io >> name >> value) {
        if (name == "rchar:") {
            return value;
        }
    }
    return 0;
}

}  // namespace starling::bench
