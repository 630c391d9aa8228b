#pragma once

// Group commit of one shard. Writes become visible at once; whoever waits for durability shares the
// next sync of the engine, which runs on a worker: one sync is under way at a time, and all that
// was applied meanwhile is covered by the one after it.
//
// Owned by the shard's loop. Destroyed only when no sync is under way or the loops run no more.

#include <cstdint>
#include <deque>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "env/event_loop.h"
#include "storage/engine.h"

namespace starling::node {

class CommitQueue {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    CommitQueue(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine);

    // Visible when OK; changed nothing otherwise. OK promises no durability: an engine whose disk
    // fails says so to when_durable(), and refuses (read_only) what is applied later.
    absl::Status apply(const storage::WriteBatch& batch, storage::WriteOptions options = {});

    // Calls `done` once all that was applied before is durable, or with the error because of which
    // that will never be known. May call it at once.
    void when_durable(Done done);

    // As when_durable(), for what was applied up to `sequence`. REQUIRES: sequence <= applied().
    void when_durable_up_to(uint64_t sequence, Done done);

    // Batches applied so far, and how many of them are known to be durable.
    uint64_t applied() const { return applied_; }
    uint64_t durable() const { return durable_; }
    bool is_idle() const { return !syncing_ && waiting_.empty(); }

  private:
    struct Waiter {
        uint64_t sequence = 0;
        Done done;
    };

    void start_sync();
    void finish_sync(uint64_t covered, const absl::Status& status);

    env::EventLoop& loop_;
    env::Workers& workers_;
    storage::Engine& engine_;

    uint64_t applied_ = 0;
    uint64_t durable_ = 0;
    bool syncing_ = false;
    // Ordered by sequence.
    std::deque<Waiter> waiting_;
};

}  // namespace starling::node
