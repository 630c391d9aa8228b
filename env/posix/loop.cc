#include "env/posix/loop.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio.hpp>

#include "base/check.h"

namespace starling::env {
namespace {

thread_local const PosixLoop* current_loop = nullptr;

}  // namespace

struct PosixLoop::Asio {
    // One thread runs it; others only post.
    boost::asio::io_context context{1};
    boost::asio::steady_timer timer{context};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work =
        boost::asio::make_work_guard(context);
};

PosixLoop::PosixLoop() : asio_(std::make_unique<Asio>()) {}

PosixLoop::~PosixLoop() {
    STARLING_CHECK_MSG(!is_running_, "a loop destroyed while it runs");
    stop();
    destroy_queued();
}

void PosixLoop::run() {
    STARLING_CHECK(!is_running_.exchange(true));
    current_loop = this;
    asio_->context.run();
    destroy_queued();
    current_loop = nullptr;
    is_running_ = false;
}

void PosixLoop::stop() {
    {
        const MutexLock lock(mutex_);
        is_stopped_ = true;
    }
    asio_->context.stop();
}

base::MonotonicTime PosixLoop::now() const {
    return base::MonotonicTime(std::chrono::steady_clock::now().time_since_epoch());
}

void PosixLoop::post(Task task) {
    {
        const MutexLock lock(mutex_);
        if (is_stopped_) {
            return;
        }
        posted_.push_back(std::move(task));
        if (std::exchange(is_woken_, true)) {
            return;
        }
    }
    boost::asio::post(asio_->context, [this] { run_posted(); });
}

TimerId PosixLoop::schedule_after(base::Duration delay, Task task) {
    STARLING_CHECK_MSG(is_open_to_caller(), "a timer armed from outside its loop");
    const TimerId timer =
        timers_.add(now() + std::max(delay, base::Duration::zero()), std::move(task));
    arm();
    return timer;
}

bool PosixLoop::cancel(TimerId timer) {
    STARLING_CHECK_MSG(is_open_to_caller(), "a timer cancelled from outside its loop");
    return timers_.cancel(timer);
}

bool PosixLoop::in_loop() const {
    return current_loop == this;
}

boost::asio::io_context& PosixLoop::io_context() {
    return asio_->context;
}

void PosixLoop::run_posted() {
    {
        const MutexLock lock(mutex_);
        batch_.swap(posted_);
        is_woken_ = false;
    }
    for (Task& task : batch_) {
        if (asio_->context.stopped()) {
            break;
        }
        std::exchange(task, nullptr)();
    }
    // Destroyed here, where the loop's state may be touched; the capacity stays.
    batch_.clear();
}

// A timer that is armed by one of these tasks waits for the next turn, even with no delay.
void PosixLoop::run_timers() {
    armed_for_ = base::MonotonicTime::max();
    const base::MonotonicTime due = now();
    size_t most = timers_.size();
    while (most-- > 0 && !asio_->context.stopped()) {
        std::optional<Task> task = timers_.take_due(due);
        if (!task) {
            break;
        }
        (*task)();
    }
    arm();
}

// Cancelling a timer does not disarm the kernel's: it finds nothing due and arms for the next.
void PosixLoop::arm() {
    const std::optional<base::MonotonicTime> next = timers_.next_deadline();
    if (!next || *next >= armed_for_) {
        return;
    }
    armed_for_ = *next;
    asio_->timer.expires_at(std::chrono::steady_clock::time_point(next->time_since_epoch()));
    asio_->timer.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            run_timers();
        }
    });
}

void PosixLoop::destroy_queued() {
    std::vector<Task> dead;
    {
        const MutexLock lock(mutex_);
        dead.swap(posted_);
    }
    dead.clear();
    batch_.clear();
    timers_.clear();
}

}  // namespace starling::env
