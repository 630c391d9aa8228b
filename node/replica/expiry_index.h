#pragma once

// Finds the values of a shard that expire, group by group and the earliest first, at the cost of
// those that are due: beside the records the engine has an entry for each such value, written and
// removed in the batch that changes the record. In memory is a lower bound of the earliest entry of
// each group, so that a look at a group in which nothing is due costs nothing.
//
// Owned by the shard's loop, but for page(), which is for workers.

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "node/replica/group.h"
#include "node/version/record.h"
#include "storage/engine.h"

namespace starling::node {

class ExpiryIndex {
  public:
    static constexpr uint64_t never = std::numeric_limits<uint64_t>::max();

    // When which values of a record expire.
    using Expiries = absl::InlinedVector<std::pair<uint64_t, Dot>, 2>;
    static Expiries of(const Record& record);

    // Reads when the first value of each group expires: one seek for each group that has one.
    // Blocks on disk. data_loss names what does not decode.
    absl::Status load(storage::Engine& engine);

    // Adds to `batch` what makes the index say of the key what its record says.
    static void change(storage::WriteBatch& batch,
                       GroupId group,
                       const std::string& key,
                       const Expiries& before,
                       const Expiries& after);
    // The batch was written.
    void note(GroupId group, const Expiries& after);
    // The group's data is removed.
    void forget(GroupId group) { earliest_.erase(group); }

    // No value of the group expires before this; `never`: none does.
    uint64_t earliest_ms(GroupId group) const;
    // The groups in which a value may have expired at `now_ms`.
    std::vector<GroupId> due(uint64_t now_ms) const;

    // A pass looks at what is due in a group, and says in the end when the earliest of what it has
    // left expires. What is noted meanwhile counts besides.
    void begin_pass(GroupId group) { earliest_[group] = never; }
    void end_pass(GroupId group, uint64_t earliest_left_ms);

    struct Entry {
        uint64_t expires_ms = 0;
        Dot dot;
        // A group key.
        std::string key;
    };
    struct Page {
        std::vector<Entry> entries;
        // Where the next page begins; empty: there is none.
        std::string next;
        // When what comes after the last page expires.
        uint64_t next_ms = never;
    };
    // Up to `count_max` of the values that expire at or before `until_ms`, from `from` on (empty:
    // from the first). Blocks on disk.
    static absl::StatusOr<Page> page(storage::Engine& engine,
                                     GroupId group,
                                     uint64_t until_ms,
                                     const std::string& from,
                                     size_t count_max);

    // Something of the group may expire then.
    void expect(GroupId group, uint64_t expires_ms);

  private:
    absl::btree_map<GroupId, uint64_t> earliest_;
};

}  // namespace starling::node
