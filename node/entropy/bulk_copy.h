#pragma once

// Copies all records of one group from a peer, page by page in key order, without comparing: for a
// replica that has nothing of the group yet. It leaves the frontier alone; a SyncSession after it
// unites that, and finds what was written behind the cursor.

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "node/entropy/exchange.h"
#include "node/entropy/runtime.h"

namespace starling::node {

class BulkCopy {
  public:
    // How many records came.
    using Done = absl::AnyInvocable<void(absl::StatusOr<uint64_t>)>;

    // Goes on where one that was interrupted had come, from whatever peer: what has changed since
    // is found by the session after it, like the rest.
    BulkCopy(EntropyRuntime& runtime, GroupId group, base::NodeId peer, Done done);

    // `done` runs once, unless this object is destroyed before; it may destroy it.
    void start() { ask_page(); }

  private:
    void ask_page();
    void on_page(const peer::EntropyScanned& page);
    void finish(absl::Status status);

    // Constant after construction.
    EntropyRuntime& runtime_;
    const GroupId group_;

    Exchange exchange_;
    Done done_;
    std::string cursor_;
    uint64_t records_ = 0;
    Lifeline lifeline_;
};

}  // namespace starling::node
