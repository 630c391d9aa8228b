#pragma once

// An ordered map that keeps, of each key, the newest version and those that a snapshot still sees.
//
// 1. Versions of a key have ascending sequences. A version is kept while it is the newest, or while
// some
//    snapshot lies at or after it and before the next one.
// 2. A removal is a version without a value; one that is the only version left is dropped.
//
// Not thread-safe.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"

namespace starling::storage {

class VersionedMap {
  public:
    struct Entry {
        std::string key;
        std::string value;
    };

    // Makes the next version of a key; nullopt removes it. All versions made since the last
    // commit() become visible together.
    void apply(std::string_view key, std::optional<std::string_view> value);
    void commit() { ++sequence_; }

    // The state now, kept until released.
    uint64_t take_snapshot();
    void release_snapshot(uint64_t sequence);
    uint64_t sequence() const { return sequence_; }

    // What the key held at `sequence`, which is a snapshot's or the newest. Valid until the next
    // change.
    const std::string* find(std::string_view key, uint64_t sequence) const;
    // The first entry with a key >= `key`, or > when `beyond`.
    std::optional<Entry> first_from(std::string_view key, bool beyond, uint64_t sequence) const;
    // The last entry with a key < `key`; without a key, the last of all.
    std::optional<Entry> last_before(std::optional<std::string_view> key, uint64_t sequence) const;

    uint64_t memory_bytes() const { return memory_bytes_; }

  private:
    struct Version {
        uint64_t sequence;
        std::optional<std::string> value;
    };
    using Versions = std::vector<Version>;
    using Map = absl::btree_map<std::string, Versions, std::less<>>;

    static const std::string* visible(const Versions& versions, uint64_t sequence);
    static uint64_t bytes_of(const Version& version);
    bool snapshot_between(uint64_t first, uint64_t end) const;
    void prune(Map::iterator position);

    Map map_;
    uint64_t sequence_ = 0;
    uint64_t memory_bytes_ = 0;
    // Sequence -> number of holders.
    std::map<uint64_t, uint32_t> snapshots_;
    // Keys that hold more than a newest value, to be looked at when a snapshot goes.
    std::set<std::string, std::less<>> keys_with_history_;
};

}  // namespace starling::storage
