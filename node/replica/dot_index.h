#pragma once

// The dots of a group that an owner may still miss, each with the key it was written to: how a
// frontier's difference finds its records (rule R4 of docs/causality.md). Entries are written in
// the batch that changes the record. Here they are removed again, once nobody can miss them any
// more.
//
// Removing an entry that is not there costs as much as one that is. So a few dots are removed
// unread, but where they may be many (after a start nobody knows which are left; a life that is
// sealed has as many as it made writes) the index is read, and what is found is removed page by
// page. Progress is what has left the index: a page that the engine refuses ends the pass, and the
// next one finds less.
//
// Owned by the shard's loop.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "node/replica/commit_queue.h"
#include "node/replica/group.h"
#include "node/replica/jobs.h"
#include "node/version/frontier.h"
#include "storage/engine.h"

namespace starling::node {

class DotIndex {
  public:
    using Ranges = std::vector<Frontier::Range>;
    // The most that are removed unread, and in one batch.
    static constexpr size_t removals_per_batch = 1024;

    DotIndex(Jobs& jobs, storage::Engine& engine, CommitQueue& commits)
        : jobs_(jobs), engine_(engine), commits_(commits) {}

    static bool are_few(const Ranges& ranges);
    // Adds to `batch` the removal of all dots of the ranges.
    static void remove(storage::WriteBatch& batch, GroupId group, const Ranges& ranges);

    // Removes what is past `gone`. `done` with OK when none of it is left, visibly.
    // `is_wanted`: asked after each page is read; not wanted ends the pass, as cancelled.
    void remove_past(GroupId group,
                     Frontier gone,
                     std::function<bool()> is_wanted,
                     absl::AnyInvocable<void(absl::Status)> done);

  private:
    struct Pass;
    void next_page(std::shared_ptr<Pass> pass);

    Jobs& jobs_;
    storage::Engine& engine_;
    CommitQueue& commits_;
};

}  // namespace starling::node
