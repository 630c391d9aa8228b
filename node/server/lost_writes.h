#pragma once

// Notices that this node has lost a write of its own, the only copy of it, with damage that was
// given up. Nobody can bring that any more: the hole in the frontier is sealed when this life of
// the node has ended (R6 of docs/causality.md), and until then the node mints nothing in the group,
// whose tombstones stay. So another life is asked for.
//
// Others may have the write: a group counts only when it has lacked it for a while. And a new life
// costs a moment of all that this node holds, so it waits until the others can spare it, and two
// nodes with the same trouble do not end theirs at once. Owned by the shard's loop.

#include <chrono>
#include <string>

#include "absl/container/btree_map.h"

#include "base/time.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/replica/store.h"

namespace starling::node {

class LostWrites {
  public:
    static constexpr base::Duration interval = std::chrono::seconds(5);
    // At least, and at most twice as long.
    static constexpr base::Duration patience = std::chrono::seconds(60);

    class Host {
      public:
        // Null where this node is no owner of the group, or its copy does not count.
        virtual const Frontier* owned_frontier(GroupId group) = 0;
        // All others are there, and this node has all that it should.
        virtual bool can_be_spared() const = 0;
        virtual void want_new_life(const std::string& why) = 0;

      protected:
        ~Host() = default;
    };

    // `self` is what this life of the node mints with.
    LostWrites(Host& host,
               ReplicaStore& store,
               env::EventLoop& loop,
               env::Random& random,
               const Actor& self)
        : host_(host), store_(store), loop_(loop), random_(random), self_(self) {}
    ~LostWrites() { stop(); }
    LostWrites(const LostWrites&) = delete;
    LostWrites& operator=(const LostWrites&) = delete;

    void start();
    void stop() { loop_.cancel(timer_); }

  private:
    void look();

    Host& host_;
    ReplicaStore& store_;
    env::EventLoop& loop_;
    env::Random& random_;
    const Actor self_;
    env::TimerId timer_ = 0;
    // Groups that lack a write, and until when others may bring it.
    absl::btree_map<GroupId, base::MonotonicTime> lacking_;
};

}  // namespace starling::node
