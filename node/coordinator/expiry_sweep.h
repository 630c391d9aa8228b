#pragma once

// Removes the expired values of one shard (rule R11 of docs/causality.md): replaces each by a
// tombstone, which it sends to the other holders once and no more; comparison of the replicas
// brings it to who missed it.
//
// 1. A value goes when it has been expired for clock_drift_max by this node's wall clock, so when
//    it is hidden by every clock that differs by no more, and nobody sees it go. A node whose clock
//    differs from most others (ClockFence) removes nothing.
// 2. The first live holder in the order of seats begins; each further one waits for `turn` longer
//    than the one before it, and a little more by chance. Whoever comes second finds nothing left
//    to do, or makes the same write again (node/version/expiry.h).
// 3. One group at a time, page by page, one page a tick. What could not be removed is looked at
//    again after `pause`.
//
// Owned by the shard's loop.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/btree_map.h"

#include "node/coordinator/context.h"

namespace starling::node {

class ExpirySweep {
  public:
    static constexpr base::Duration interval = std::chrono::seconds(1);
    // Between the pages of one group.
    static constexpr base::Duration page_interval = std::chrono::milliseconds(50);
    static constexpr size_t page_values_max = 256;
    static constexpr base::Duration turn = std::chrono::seconds(10);
    static constexpr base::Duration jitter_max = std::chrono::seconds(5);
    static constexpr base::Duration pause = std::chrono::seconds(30);

    explicit ExpirySweep(const CoordinatorContext& context);
    ~ExpirySweep() { stop(); }
    ExpirySweep(const ExpirySweep&) = delete;
    ExpirySweep& operator=(const ExpirySweep&) = delete;

    void start() { arm_timer(interval); }
    void stop();

    uint64_t removed() const { return removed_; }

  private:
    // Over what is due in one group.
    struct Pass {
        GroupId group;
        uint64_t until_ms = 0;
        // Where the next page begins.
        std::string next;
        uint64_t earliest_left_ms = ExpiryIndex::never;
        bool has_left_some = false;
    };
    struct Page;
    // One value's: of what was minted, if anything was.
    struct Removal;

    void arm_timer(base::Duration delay);
    void run();
    bool begin_pass();
    // Until when values have to have expired for this node to remove them; none: it is not its
    // turn, ever.
    std::optional<uint64_t> due_until(GroupId group) const;
    void read_page();
    void take(ExpiryIndex::Page page);
    void remove(const ExpiryIndex::Entry& entry, const std::shared_ptr<Page>& page);
    void finish_page(bool is_last);
    void end_pass();
    absl::Status mint(GroupId group,
                      const ExpiryIndex::Entry& entry,
                      Record& local,
                      Frontier& frontier,
                      Removal& removal);
    void send(GroupId group, const std::string& key, Removal& removal);

    const CoordinatorContext& context_;
    const base::Duration jitter_;
    env::TimerId timer_ = 0;
    bool is_stopped_ = false;
    // A page is being read, or its values removed.
    bool is_busy_ = false;
    std::optional<Pass> pass_;
    std::optional<GroupId> last_;
    // Of groups in which something was left.
    absl::btree_map<GroupId, base::MonotonicTime> paused_until_;
    uint64_t removed_ = 0;
};

}  // namespace starling::node
