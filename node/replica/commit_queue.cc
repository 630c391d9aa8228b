#include "node/replica/commit_queue.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"

namespace starling::node {

CommitQueue::CommitQueue(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine)
    : loop_(loop), workers_(workers), engine_(engine) {}

absl::Status CommitQueue::apply(const storage::WriteBatch& batch, storage::WriteOptions options) {
    absl::Status status = engine_.write(batch, options);
    if (status.ok()) {
        ++applied_;
    }
    return status;
}

void CommitQueue::when_durable(Done done) {
    when_durable_up_to(applied_, std::move(done));
}

void CommitQueue::when_durable_up_to(uint64_t sequence, Done done) {
    if (sequence <= durable_) {
        done(absl::OkStatus());
        return;
    }
    if (STARLING_PLANTED(ack_before_fsync)) {
        std::exchange(done, [](const absl::Status&) {})(absl::OkStatus());
    }
    const auto place = std::upper_bound(
        waiting_.begin(), waiting_.end(), sequence, [](uint64_t value, const Waiter& waiter) {
            return value < waiter.sequence;
        });
    waiting_.insert(place, {.sequence = sequence, .done = std::move(done)});
    if (!syncing_) {
        start_sync();
    }
}

void CommitQueue::start_sync() {
    syncing_ = true;
    workers_.submit([this, covered = applied_] {
        absl::Status status = engine_.sync();
        loop_.post([this, covered, status = std::move(status)] { finish_sync(covered, status); });
    });
}

void CommitQueue::finish_sync(uint64_t covered, const absl::Status& status) {
    syncing_ = false;
    // After a failed sync the engine takes no more writes, so nothing that waits can become
    // durable.
    const uint64_t settled = status.ok() ? covered : applied_;
    if (status.ok()) {
        durable_ = covered;
    } else {
        STARLING_MARK(commit_sync_failed);
    }
    std::deque<Waiter> ready;
    while (!waiting_.empty() && waiting_.front().sequence <= settled) {
        ready.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
    }
    if (!waiting_.empty()) {
        start_sync();
    }
    for (Waiter& waiter : ready) {
        waiter.done(status);
    }
}

}  // namespace starling::node
