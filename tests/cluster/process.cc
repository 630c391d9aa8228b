#include "tests/cluster/process.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace starling::cluster_test {

namespace {

// Between fork and exec of a program with threads only async-signal-safe calls are allowed.
[[noreturn]] void become(char* const* arguments, const char* log_path, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        ::_exit(127);
    }
    const int log = ::open(log_path, O_CREAT | O_APPEND | O_WRONLY, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::close_range(3, ~0U, 0);
    ::execv(arguments[0], arguments);
    ::_exit(127);
}

}  // namespace

Process::Process(std::vector<std::string> command, std::string log_path) {
    std::vector<char*> arguments;
    for (std::string& word : command) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    const pid_t parent = ::getpid();
    // Not fork(): the handlers that libraries register for it are not meant for an exec.
    pid_ = ::_Fork();
    if (pid_ == 0) {
        become(arguments.data(), log_path.c_str(), parent);
    }
    if (pid_ < 0) {
        std::perror("fork");
        std::abort();
    }
}

Process::~Process() {
    kill();
}

bool Process::is_running() {
    if (exit_code_.has_value()) {
        return false;
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) {
        return true;
    }
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return false;
}

void Process::kill() {
    while (is_running()) {
        ::kill(pid_, SIGKILL);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void Process::send_signal(int signal) {
    if (is_running()) {
        ::kill(pid_, signal);
    }
}

std::optional<int> Process::wait(Seconds deadline) {
    wait_until(deadline, [this] { return !is_running(); });
    return exit_code_;
}

}  // namespace starling::cluster_test
