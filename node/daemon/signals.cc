#include "node/daemon/signals.h"

#include <string_view>
#include <utility>

#include <unistd.h>

#include "base/check.h"
#include "node/daemon/stop_deadline.h"

namespace starling::node {

namespace {

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

    const StopDeadline deadline(stop_timeout_);
    do {
        sigwait(&set_, &signal);
        absl::MutexLock lock(&mutex_);
        if (is_done_) {
            return;
        }
    } while (signal == SIGUSR2 || signal == SIGUSR1);
    // The log may be what hangs.
    constexpr std::string_view text = "starlingd: second signal; ending now\n";
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
    ::_exit(128 + signal);
}

}  // namespace starling::node
