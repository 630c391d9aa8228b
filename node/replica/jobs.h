#pragma once

// Work of a shard's loop that blocks on the disk: runs on a worker, and what follows from its
// result on the loop. Owned by the loop; destroyed only when none is open.

#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"

#include "env/event_loop.h"

namespace starling::node {

class Jobs {
  public:
    Jobs(env::EventLoop& loop, env::Workers& workers) : loop_(loop), workers_(workers) {}

    template <typename T>
    void run(absl::AnyInvocable<T()> job, absl::AnyInvocable<void(T)> done) {
        ++open_;
        workers_.submit([this, job = std::move(job), done = std::move(done)]() mutable {
            T result = job();
            // What it holds of the engine (a snapshot) must be gone before the loop may close that.
            job = nullptr;
            loop_.post([this, result = std::move(result), done = std::move(done)]() mutable {
                --open_;
                done(std::move(result));
            });
        });
    }

    // Started, and what follows has not begun.
    uint64_t open() const { return open_; }

  private:
    env::EventLoop& loop_;
    env::Workers& workers_;
    uint64_t open_ = 0;
};

}  // namespace starling::node
