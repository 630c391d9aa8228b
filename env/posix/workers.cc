#include "env/posix/workers.h"

#include <utility>

#include "base/check.h"

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

void PosixWorkers::stop(Queued queued) {
    std::deque<Task> dropped;
    {
        const MutexLock lock(mutex_);
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

// False when this thread shall end: while another job runs, that one may still submit more.
bool PosixWorkers::take(Task& job) {
    const MutexLock lock(mutex_);
    mutex_.wait(changed_, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return !queue_.empty() || state_ == State::dropping ||
               (state_ == State::finishing && busy_ == 0);
    });
    if (queue_.empty()) {
        return false;
    }
    job = std::move(queue_.front());
    queue_.pop_front();
    ++busy_;
    return true;
}

}  // namespace starling::env
