#include "storage/in_memory/versioned_map.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace starling::storage {

void VersionedMap::apply(std::string_view key, std::optional<std::string_view> value) {
    auto position = map_.lower_bound(key);
    if (position == map_.end() || position->first != key) {
        position = map_.emplace_hint(position, std::string(key), Versions());
        memory_bytes_ += key.size() + sizeof(Map::value_type);
    }
    Version version{.sequence = sequence_ + 1, .value = std::nullopt};
    if (value.has_value()) {
        version.value.emplace(*value);
    }
    memory_bytes_ += bytes_of(version);
    Versions& versions = position->second;
    if (!versions.empty() && versions.back().sequence == version.sequence) {
        memory_bytes_ -= bytes_of(versions.back());
        versions.back() = std::move(version);
    } else {
        versions.push_back(std::move(version));
    }
    prune(position);
}

uint64_t VersionedMap::take_snapshot() {
    ++snapshots_[sequence_];
    return sequence_;
}

void VersionedMap::release_snapshot(uint64_t sequence) {
    const auto holder = snapshots_.find(sequence);
    STARLING_CHECK(holder != snapshots_.end());
    if (--holder->second > 0) {
        return;
    }
    snapshots_.erase(holder);
    const std::set<std::string, std::less<>> keys = std::exchange(keys_with_history_, {});
    for (const std::string& key : keys) {
        if (const auto position = map_.find(key); position != map_.end()) {
            prune(position);
        }
    }
}

const std::string* VersionedMap::find(std::string_view key, uint64_t sequence) const {
    const auto position = map_.find(key);
    return position == map_.end() ? nullptr : visible(position->second, sequence);
}

std::optional<VersionedMap::Entry> VersionedMap::first_from(std::string_view key,
                                                            bool beyond,
                                                            uint64_t sequence) const {
    auto position = beyond ? map_.upper_bound(key) : map_.lower_bound(key);
    for (; position != map_.end(); ++position) {
        if (const std::string* value = visible(position->second, sequence)) {
            return Entry{.key = position->first, .value = *value};
        }
    }
    return std::nullopt;
}

std::optional<VersionedMap::Entry> VersionedMap::last_before(std::optional<std::string_view> key,
                                                             uint64_t sequence) const {
    auto position = key.has_value() ? map_.lower_bound(*key) : map_.end();
    while (position != map_.begin()) {
        --position;
        if (const std::string* value = visible(position->second, sequence)) {
            return Entry{.key = position->first, .value = *value};
        }
    }
    return std::nullopt;
}

const std::string* VersionedMap::visible(const Versions& versions, uint64_t sequence) {
    for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
        if (version->sequence <= sequence) {
            return version->value.has_value() ? &*version->value : nullptr;
        }
    }
    return nullptr;
}

uint64_t VersionedMap::bytes_of(const Version& version) {
    return sizeof(Version) + (version.value.has_value() ? version.value->size() : 0);
}

bool VersionedMap::snapshot_between(uint64_t first, uint64_t end) const {
    const auto snapshot = snapshots_.lower_bound(first);
    return snapshot != snapshots_.end() && snapshot->first < end;
}

void VersionedMap::prune(Map::iterator position) {
    Versions& versions = position->second;
    Versions kept;
    for (size_t i = 0; i < versions.size(); ++i) {
        const bool newest = i + 1 == versions.size();
        const uint64_t end = newest ? 0 : versions[i + 1].sequence;
        if (newest || snapshot_between(versions[i].sequence, end)) {
            kept.push_back(std::move(versions[i]));
        } else {
            memory_bytes_ -= bytes_of(versions[i]);
        }
    }
    versions = std::move(kept);
    if (versions.size() == 1 && !versions.front().value.has_value()) {
        memory_bytes_ -=
            bytes_of(versions.front()) + position->first.size() + sizeof(Map::value_type);
        map_.erase(position);
    } else if (versions.size() > 1) {
        keys_with_history_.insert(position->first);
    }
}

}  // namespace starling::storage
