#pragma once

// An ordered map that keeps, of each key, the newest version and those that a snapshot still sees.
// A version holds a payload: the value itself, or where it lies.
//
// 1. Each change has a sequence, one more than the change before it. The changes since the last
// commit() become visible together.
// 2. Versions of a key have ascending sequences. A version is kept while it is the newest, or while
// some snapshot lies at or after it and before the next one.
// 3. A removal is a version without a payload; one that is the only version left is dropped.
//
// Not thread-safe.

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"

#include "base/check.h"
#include "storage/engine.h"

namespace starling::storage {

template <typename Payload>
class VersionedMap {
  public:
    struct Version {
        uint64_t sequence = 0;
        Expiry expiry = never;
        std::optional<Payload> payload;
    };
    struct Entry {
        std::string key;
        Version version;
    };
    // What a reader sees: the state at `sequence`, a snapshot's or the newest, without what has
    // expired at `now`; 0: with it.
    struct View {
        uint64_t sequence = 0;
        Expiry now = 0;
    };
    // Told of each version with a payload that nobody can see any more.
    using OnDrop = absl::AnyInvocable<void(std::string_view key, const Version& version)>;

    VersionedMap() = default;
    explicit VersionedMap(OnDrop on_drop) : on_drop_(std::move(on_drop)) {}

    void put(std::string_view key, Payload payload, Expiry expiry) {
        const auto position = find_or_add(key);
        add(position, {.sequence = ++changes_, .expiry = expiry, .payload = std::move(payload)});
    }
    void remove(std::string_view key) {
        ++changes_;
        if (const auto position = map_.find(key); position != map_.end()) {
            add(position, {.sequence = changes_, .expiry = never, .payload = std::nullopt});
        }
    }
    // Takes as long as going through the keys in [begin, end) does.
    void remove_range(std::string_view begin, std::string_view end) {
        ++changes_;
        auto position = map_.lower_bound(begin);
        while (position != map_.end() && (end.empty() || position->first < end)) {
            position = position->second.back().payload.has_value()
                           ? add(position, {.sequence = changes_, .expiry = never, .payload = {}})
                           : std::next(position);
        }
    }
    void commit() { sequence_ = changes_; }
    uint64_t sequence() const { return sequence_; }

    // The state now, kept until released.
    uint64_t take_snapshot() {
        ++snapshots_[sequence_];
        return sequence_;
    }
    void release_snapshot(uint64_t sequence) {
        const auto holder = snapshots_.find(sequence);
        STARLING_CHECK(holder != snapshots_.end());
        if (--holder->second > 0) {
            return;
        }
        snapshots_.erase(holder);
        // Only what was replaced after the snapshot can have been kept for it.
        auto replaced = history_.lower_bound({sequence + 1, std::string()});
        while (replaced != history_.end()) {
            replaced = forget_if_unseen(replaced);
        }
    }

    // Null: absent. Valid until the next change.
    const Version* find(std::string_view key, const View& view) const {
        const auto position = map_.find(key);
        return position == map_.end() ? nullptr : visible(position->second, view);
    }
    // The first entry with a key >= `key`, or > when `beyond`, and < `end`; an empty end means to
    // the end.
    std::optional<Entry> first_from(std::string_view key,
                                    bool beyond,
                                    std::string_view end,
                                    const View& view) const {
        auto position = beyond ? map_.upper_bound(key) : map_.lower_bound(key);
        for (; position != map_.end() && (end.empty() || position->first < end); ++position) {
            if (const Version* version = visible(position->second, view)) {
                return Entry{.key = position->first, .version = *version};
            }
        }
        return std::nullopt;
    }
    // The last entry with a key < `key` and >= `begin`; without a key, the last of all.
    std::optional<Entry> last_before(std::optional<std::string_view> key,
                                     std::string_view begin,
                                     const View& view) const {
        auto position = key.has_value() ? map_.lower_bound(*key) : map_.end();
        while (position != map_.begin()) {
            --position;
            if (position->first < begin) {
                break;
            }
            if (const Version* version = visible(position->second, view)) {
                return Entry{.key = position->first, .version = *version};
            }
        }
        return std::nullopt;
    }
    // Calls visit(key, newest version with a payload) for at most `keys_max` keys of [begin, end).
    // Where to go on; nullopt: nowhere.
    template <typename Visit>
    std::optional<std::string> visit(std::string_view begin,
                                     std::string_view end,
                                     size_t keys_max,
                                     Visit&& visit) const {
        auto position = map_.lower_bound(begin);
        for (size_t count = 0; position != map_.end() && (end.empty() || position->first < end);
             ++count, ++position) {
            if (count == keys_max) {
                return position->first;
            }
            if (position->second.back().payload.has_value()) {
                visit(std::string_view(position->first), position->second.back());
            }
        }
        return std::nullopt;
    }

    // The version that change `sequence` made, if it is still there.
    const Version* version(std::string_view key, uint64_t sequence) const {
        const auto position = map_.find(key);
        if (position == map_.end()) {
            return nullptr;
        }
        for (const Version& version : position->second) {
            if (version.sequence == sequence) {
                return &version;
            }
        }
        return nullptr;
    }
    const Version* newest(std::string_view key) const {
        const auto position = map_.find(key);
        return position == map_.end() ? nullptr : &position->second.back();
    }
    // Whether snapshots hold older versions of some key in [begin, end).
    bool has_history(std::string_view begin, std::string_view end) const {
        return std::any_of(history_.begin(), history_.end(), [&](const auto& replaced) {
            return replaced.second >= begin && (end.empty() || replaced.second < end);
        });
    }
    // Whether nobody would miss the version once it has expired: no newer change, no older version,
    // no snapshot depends on it.
    bool is_alone(std::string_view key, uint64_t sequence) const {
        const auto position = map_.find(key);
        return position != map_.end() && position->second.size() == 1 &&
               position->second.front().sequence == sequence &&
               snapshots_.lower_bound(sequence) == snapshots_.end();
    }
    // Gives the version another payload of the same size. False: it is not there any more.
    bool relocate(std::string_view key, uint64_t sequence, Payload payload) {
        const auto position = map_.find(key);
        if (position == map_.end()) {
            return false;
        }
        for (Version& version : position->second) {
            if (version.sequence == sequence) {
                version.payload = std::move(payload);
                return true;
            }
        }
        return false;
    }
    // Forgets the version, if it is still there, without telling on_drop. REQUIRES: it once was
    // alone.
    void erase(std::string_view key, uint64_t sequence) {
        const auto position = map_.find(key);
        if (position == map_.end() || position->second.front().sequence != sequence) {
            return;
        }
        Versions& versions = position->second;
        if (versions.size() > 1) {
            history_.erase({versions[1].sequence, position->first});
        }
        memory_bytes_ -= bytes_of(versions.front());
        versions.erase(versions.begin());
        erase_if_absent(position);
    }
    // Forgets what has expired and no snapshot sees.
    void drop_expired(Expiry now) {
        for (auto position = map_.begin(); position != map_.end();) {
            const Version& newest = position->second.back();
            if (has_expired(newest, now) && is_alone(position->first, newest.sequence)) {
                drop(position->first, newest);
                position->second.clear();
                position = erase_if_absent(position);
            } else {
                ++position;
            }
        }
    }

    // What follows fills an empty map with changes in any order; the newest of a key wins. Removals
    // stay until finish_loading().
    void load(std::string_view key, Version version) {
        const auto position = find_or_add(key);
        Versions& versions = position->second;
        if (versions.empty() || versions.back().sequence < version.sequence) {
            if (!versions.empty()) {
                drop(key, versions.back());
                versions.clear();
            }
            memory_bytes_ += bytes_of(version);
            versions.push_back(std::move(version));
        } else {
            memory_bytes_ += bytes_of(version);
            drop(key, version);
        }
    }
    // REQUIRES: all changes of keys are loaded.
    void load_range_removal(std::string_view begin, std::string_view end, uint64_t sequence) {
        for (auto position = map_.lower_bound(begin);
             position != map_.end() && (end.empty() || position->first < end);
             ++position) {
            Version& version = position->second.back();
            if (version.sequence < sequence) {
                drop(position->first, version);
                version = {.sequence = sequence, .expiry = never, .payload = {}};
                memory_bytes_ += bytes_of(version);
            }
        }
    }
    // `sequence`: of the last change.
    void finish_loading(uint64_t sequence) {
        for (auto position = map_.begin(); position != map_.end();) {
            if (position->second.back().payload.has_value()) {
                ++position;
            } else {
                position = erase_if_absent(position);
            }
        }
        changes_ = sequence;
        sequence_ = sequence;
    }

    uint64_t memory_bytes() const { return memory_bytes_; }

    static bool has_expired(const Version& version, Expiry now) {
        return version.expiry != never && version.expiry <= now;
    }

  private:
    // Ascending; more than one only where a snapshot needs it.
    using Versions = absl::InlinedVector<Version, 1>;
    using Map = absl::btree_map<std::string, Versions, std::less<>>;
    // When an older version that is still there was replaced, and its key.
    using History = absl::btree_set<std::pair<uint64_t, std::string>>;

    static const Version* visible(const Versions& versions, const View& view) {
        for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
            if (version->sequence <= view.sequence) {
                return version->payload.has_value() && !has_expired(*version, view.now) ? &*version
                                                                                        : nullptr;
            }
        }
        return nullptr;
    }
    static uint64_t bytes_of(const Version& version) {
        uint64_t bytes = sizeof(Version);
        if constexpr (requires(const Payload& payload) { payload.capacity(); }) {
            bytes += version.payload.has_value() ? version.payload->size() : 0;
        }
        return bytes;
    }
    static uint64_t bytes_of_key(std::string_view key) {
        return key.size() + sizeof(typename Map::value_type) - sizeof(Version);
    }

    typename Map::iterator find_or_add(std::string_view key) {
        auto position = map_.lower_bound(key);
        if (position == map_.end() || position->first != key) {
            position = map_.emplace_hint(position, std::string(key), Versions());
            memory_bytes_ += bytes_of_key(key);
        }
        return position;
    }

    // The position after the key's, which may be gone.
    typename Map::iterator add(typename Map::iterator position, Version version) {
        Versions& versions = position->second;
        memory_bytes_ += bytes_of(version);
        if (versions.empty()) {
            versions.push_back(std::move(version));
            return std::next(position);
        }
        if (snapshot_between(versions.back().sequence, version.sequence)) {
            history_.emplace(version.sequence, position->first);
            versions.push_back(std::move(version));
            return std::next(position);
        }
        drop(position->first, versions.back());
        if (versions.size() > 1) {
            // The version before the dropped one is replaced by the new one.
            history_.erase({versions.back().sequence, position->first});
            history_.emplace(version.sequence, position->first);
        }
        versions.back() = std::move(version);
        if (versions.size() == 1 && !versions.back().payload.has_value()) {
            return erase_if_absent(position);
        }
        return std::next(position);
    }

    // Erases the key when nothing, or only a removal, is left of it. The position after the key's.
    typename Map::iterator erase_if_absent(typename Map::iterator position) {
        Versions& versions = position->second;
        if (versions.size() > 1 || (versions.size() == 1 && versions.front().payload.has_value())) {
            return std::next(position);
        }
        if (!versions.empty()) {
            memory_bytes_ -= bytes_of(versions.front());
        }
        memory_bytes_ -= bytes_of_key(position->first);
        return map_.erase(position);
    }

    void drop(std::string_view key, const Version& version) {
        memory_bytes_ -= bytes_of(version);
        if (on_drop_ != nullptr && version.payload.has_value()) {
            on_drop_(key, version);
        }
    }

    // Whether some snapshot sees what was changed at `first` and replaced at `end`.
    bool snapshot_between(uint64_t first, uint64_t end) const {
        const auto snapshot = snapshots_.lower_bound(first);
        return snapshot != snapshots_.end() && snapshot->first < end;
    }

    // The next one of history_.
    typename History::iterator forget_if_unseen(typename History::iterator replaced) {
        const auto position = map_.find(replaced->second);
        STARLING_CHECK(position != map_.end());
        Versions& versions = position->second;
        auto next = std::find_if(versions.begin(), versions.end(), [&](const Version& version) {
            return version.sequence == replaced->first;
        });
        STARLING_CHECK(next != versions.begin() && next != versions.end());
        const auto old = std::prev(next);
        if (snapshot_between(old->sequence, next->sequence)) {
            return std::next(replaced);
        }
        drop(position->first, *old);
        if (old == versions.begin()) {
            versions.erase(old);
            replaced = history_.erase(replaced);
            erase_if_absent(position);
            return replaced;
        }
        // Now the version before was replaced at `next`.
        const auto kept = *replaced;
        history_.erase({old->sequence, position->first});
        versions.erase(old);
        return std::next(history_.find(kept));
    }

    Map map_;
    OnDrop on_drop_;
    // Of the last change, and of the last one that readers may see.
    uint64_t changes_ = 0;
    uint64_t sequence_ = 0;
    uint64_t memory_bytes_ = 0;
    // Sequence -> number of holders.
    std::map<uint64_t, uint32_t> snapshots_;
    History history_;
};

}  // namespace starling::storage
