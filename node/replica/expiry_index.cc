#include "node/replica/expiry_index.h"

#include <algorithm>
#include <optional>

#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

namespace {

absl::Status undecodable() {
    return absl::DataLossError("an entry of the index of expiries has a key of none");
}

bool contains(const ExpiryIndex::Expiries& list, const std::pair<uint64_t, Dot>& entry) {
    return std::find(list.begin(), list.end(), entry) != list.end();
}

std::string key_of(GroupId group, const std::pair<uint64_t, Dot>& entry) {
    return storage_keys::expiry({.group = group, .expires_ms = entry.first, .dot = entry.second});
}

}  // namespace

ExpiryIndex::Expiries ExpiryIndex::of(const Record& record) {
    Expiries expiries;
    for (const Sibling& sibling : record.siblings) {
        if (sibling.expires_ms != 0 && !sibling.is_tombstone) {
            expiries.emplace_back(sibling.expires_ms, sibling.dot);
        }
    }
    return expiries;
}

absl::Status ExpiryIndex::load(storage::Engine& engine) {
    const auto entries = engine.new_iterator(
        {.lower = storage_keys::expiries_begin(), .upper = storage_keys::expiries_end()});
    entries->seek_to_first();
    while (entries->valid()) {
        const auto key = storage_keys::parse_expiry(entries->key());
        if (!key.has_value()) return undecodable();
        earliest_[key->group] = key->expires_ms;
        entries->seek(storage_keys::prefix_end(storage_keys::expiries_prefix(key->group)));
    }
    return entries->status();
}

void ExpiryIndex::change(storage::WriteBatch& batch,
                         GroupId group,
                         const std::string& key,
                         const Expiries& before,
                         const Expiries& after) {
    for (const auto& old : before) {
        if (!contains(after, old)) batch.remove(key_of(group, old));
    }
    for (const auto& added : after) {
        if (!contains(before, added)) batch.put(key_of(group, added), key);
    }
}

void ExpiryIndex::note(GroupId group, const Expiries& after) {
    for (const auto& [expires_ms, dot] : after) {
        expect(group, expires_ms);
    }
}

uint64_t ExpiryIndex::earliest_ms(GroupId group) const {
    const auto found = earliest_.find(group);
    return found == earliest_.end() ? never : found->second;
}

std::vector<GroupId> ExpiryIndex::due(uint64_t now_ms) const {
    std::vector<GroupId> groups;
    for (const auto& [group, earliest_ms] : earliest_) {
        if (earliest_ms <= now_ms) groups.push_back(group);
    }
    return groups;
}

void ExpiryIndex::expect(GroupId group, uint64_t expires_ms) {
    uint64_t& earliest_ms = earliest_.try_emplace(group, never).first->second;
    earliest_ms = std::min(earliest_ms, expires_ms);
}

void ExpiryIndex::end_pass(GroupId group, uint64_t earliest_left_ms) {
    expect(group, earliest_left_ms);
    if (earliest_.at(group) == never) earliest_.erase(group);
}

absl::StatusOr<ExpiryIndex::Page> ExpiryIndex::page(storage::Engine& engine,
                                                    GroupId group,
                                                    uint64_t until_ms,
                                                    const std::string& from,
                                                    size_t count_max) {
    Page page;
    const std::string prefix = storage_keys::expiries_prefix(group);
    const auto entries =
        engine.new_iterator({.lower = prefix, .upper = storage_keys::prefix_end(prefix)});
    for (entries->seek(from.empty() ? prefix : from); entries->valid(); entries->next()) {
        const auto key = storage_keys::parse_expiry(entries->key());
        if (!key.has_value()) return undecodable();
        if (key->expires_ms > until_ms) {
            page.next_ms = key->expires_ms;
            break;
        }
        if (page.entries.size() == count_max) {
            page.next = std::string(entries->key());
            break;
        }
        page.entries.push_back(
            {.expires_ms = key->expires_ms, .dot = key->dot, .key = std::string(entries->value())});
    }
    STARLING_RETURN_IF_ERROR(entries->status());
    return page;
}

}  // namespace starling::node
