#include "node/daemon/signals.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <unistd.h>

#include "base/check.h"
#include "node/daemon/exit_codes.h"

namespace starling::node {

namespace {

void say(const char* text, size_t length) {
    // The log may be what hangs.
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text, length);
}

bool is_ignored(int signal) {
    struct sigaction action{};
    return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Signals::Signals(base::Duration stop_timeout) : stop_timeout_(stop_timeout) {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    // A shell has this ignored in what it starts in the background, but a script that sends it
    // means it.
    sigaddset(&set_, SIGINT);
    // nohup has this ignored, and means it.
    if (!is_ignored(SIGHUP)) {
        sigaddset(&set_, SIGHUP);
    }
    sigaddset(&set_, SIGUSR1);
    // Ends the thread when all is done.
    sigaddset(&set_, SIGUSR2);
    STARLING_CHECK(::pthread_sigmask(SIG_BLOCK, &set_, nullptr) == 0);
    thread_ = std::thread([this] { run(); });
}

Signals::~Signals() {
    {
        absl::MutexLock lock(&mutex_);
        is_done_ = true;
    }
    ::pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
}

int Signals::wait_for(base::Duration patience) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(this, &Signals::has_come), absl::FromChrono(patience));
    return first_;
}

bool Signals::take_new_life() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(new_life_, false);
}

void Signals::run() {
    int signal = 0;
    do {
        sigwait(&set_, &signal);
        absl::MutexLock lock(&mutex_);
        if (is_done_) {
            return;
        }
        new_life_ = new_life_ || signal == SIGUSR1;
    } while (signal == SIGUSR2 || signal == SIGUSR1);
    {
        absl::MutexLock lock(&mutex_);
        first_ = signal;
    }

    const auto end = std::chrono::steady_clock::now() + stop_timeout_;
    int second = 0;
    do {
        const base::Duration left = std::max<base::Duration>(end - std::chrono::steady_clock::now(),
                                                             base::Duration::zero());
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        const timespec patience{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
        second = sigtimedwait(&set_, nullptr, &patience);
    } while ((second < 0 && errno == EINTR) || second == SIGUSR1);
    {
        absl::MutexLock lock(&mutex_);
        if (is_done_) {
            return;
        }
    }
    if (second < 0) {
        constexpr char text[] = "starlingd: not stopped within the deadline; ending now\n";
        say(text, sizeof text - 1);
        ::_exit(exit_stop_overdue);
    }
    constexpr char text[] = "starlingd: second signal; ending now\n";
    say(text, sizeof text - 1);
    ::_exit(128 + second);
}

}  // namespace starling::node
