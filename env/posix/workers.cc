#include "env/posix/workers.h"

#include <utility>

#include "base/check.h"
#include "env/posix/clock.h"

namespace starling::env {

PosixWorkers::PosixWorkers(size_t threads) {
    STARLING_CHECK(threads > 0);
    threads_.reserve(threads);
    for (size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([this] { run(); });
    }
}

PosixWorkers::~PosixWorkers() {
    STARLING_CHECK_MSG(threads_.empty(), "workers not stopped");
}

void PosixWorkers::submit(Task job) {
    {
        const MutexLock lock(mutex_);
        if (state_ == State::dropping || state_ == State::stopped) {
            return;
        }
        queue_.push_back(std::move(job));
    }
    changed_.notify_one();
}

void PosixWorkers::submit_after(base::Duration delay, Task job) {
    if (delay <= base::Duration::zero()) {
        submit(std::move(job));
        return;
    }
    {
        const MutexLock lock(mutex_);
        if (state_ != State::running) {
            return;
        }
        delayed_.add(PosixClock().now() + delay, std::move(job));
    }
    // Its time may come before the one that a thread waits for.
    changed_.notify_one();
}

void PosixWorkers::stop(Queued queued) {
    std::deque<Task> dropped;
    TimerQueue dropped_later;
    {
        const MutexLock lock(mutex_);
        std::swap(dropped_later, delayed_);
        STARLING_CHECK(state_ == State::running);
        if (queued == Queued::drop) {
            state_ = State::dropping;
            dropped.swap(queue_);
        } else {
            state_ = State::finishing;
        }
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
    threads_.clear();
    const MutexLock lock(mutex_);
    state_ = State::stopped;
}

size_t PosixWorkers::queued_jobs() const {
    const MutexLock lock(mutex_);
    return queue_.size();
}

void PosixWorkers::run() {
    Task job;
    while (take(job)) {
        job();
        // What the job holds goes before it counts as done.
        job = nullptr;
        bool may_be_last = false;
        {
            const MutexLock lock(mutex_);
            --busy_;
            may_be_last = busy_ == 0 && state_ != State::running;
        }
        if (may_be_last) {
            changed_.notify_all();
        }
    }
}

// While another job runs, that one may still submit more.
bool PosixWorkers::is_over() const {
    return state_ == State::dropping || (state_ == State::finishing && busy_ == 0);
}

// False when this thread shall end.
bool PosixWorkers::take(Task& job) {
    const MutexLock lock(mutex_);
    for (;;) {
        while (auto due = delayed_.take_due(PosixClock().now())) {
            queue_.push_back(*std::move(due));
        }
        if (!queue_.empty()) {
            break;
        }
        if (is_over()) {
            return false;
        }
        const auto next = delayed_.next_deadline();
        mutex_.wait_once(
            changed_,
            next.has_value()
                ? std::optional(std::chrono::steady_clock::time_point(next->time_since_epoch()))
                : std::nullopt);
    }
    if (queue_.size() > 1 || delayed_.size() > 0) {
        // Several may have come due at once, and somebody has to wait for the next.
        changed_.notify_one();
    }
    job = std::move(queue_.front());
    queue_.pop_front();
    ++busy_;
    return true;
}

}  // namespace starling::env
