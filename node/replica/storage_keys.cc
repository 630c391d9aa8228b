#include "node/replica/storage_keys.h"

#include <algorithm>
#include <array>

#include "base/codec.h"
#include "node/replica/seat_set.h"

namespace starling::node::storage_keys {

namespace {

constexpr char copy_cursor_tag = 'C';
constexpr char indexed_dot_tag = 'D';
constexpr char expiry_tag = 'E';
constexpr char hint_tag = 'H';
constexpr char tree_tag = 'K';
constexpr char owners_tag = 'O';
constexpr char record_tag = 'R';
constexpr char tombstone_tag = 'T';
// No node starts without these.
constexpr char frontier_tag = 'f';
constexpr char meta_tag = 'm';
constexpr char seats_tag = 's';

constexpr char facts_begin_tag = 'a';
static_assert(indexed_dot_tag < facts_begin_tag && expiry_tag < facts_begin_tag &&
              hint_tag < facts_begin_tag && tree_tag < facts_begin_tag &&
              owners_tag < facts_begin_tag && record_tag < facts_begin_tag &&
              tombstone_tag < facts_begin_tag);
static_assert(facts_begin_tag <= frontier_tag && facts_begin_tag <= meta_tag &&
              facts_begin_tag <= seats_tag);

std::string tagged_group(char tag, GroupId group) {
    std::string out(1, tag);
    base::put_u16_ordered(out, group.partition.raw());
    base::put_u8(out, group.replicas);
    return out;
}

GroupId read_group(base::Reader& in) {
    const base::PartitionId partition(in.u16_ordered());
    const uint8_t replicas = in.u8();
    return {partition, replicas};
}

// Those of one actor in the order of their sequences.
void put_dot_ordered(std::string& out, const Dot& dot) {
    put_actor(out, dot.actor);
    base::put_u64_ordered(out, dot.sequence);
}

Dot read_dot_ordered(base::Reader& in) {
    Dot dot;
    dot.actor = read_actor(in);
    dot.sequence = in.u64_ordered();
    if (dot.sequence == 0) in.fail();
    return dot;
}

std::string tag_begin(char tag) {
    return std::string(1, tag);
}
std::string tag_end(char tag) {
    return std::string(1, static_cast<char>(tag + 1));
}

bool strip_tag(std::string_view& key, char tag) {
    if (key.empty() || key.front() != tag) {
        return false;
    }
    key.remove_prefix(1);
    return true;
}

}  // namespace

std::string facts_begin() {
    return std::string(1, facts_begin_tag);
}

std::string meta(std::string_view name) {
    return std::string(1, meta_tag).append(name);
}

std::string seats(base::PartitionId partition) {
    std::string out(1, seats_tag);
    base::put_u16_ordered(out, partition.raw());
    return out;
}

std::string frontier(GroupId group) {
    return tagged_group(frontier_tag, group);
}

std::string record(GroupId group, std::string_view group_key) {
    return tagged_group(record_tag, group).append(group_key);
}

std::string record_prefix(GroupId group) {
    return tagged_group(record_tag, group);
}

std::string records_begin() {
    return tag_begin(record_tag);
}
std::string records_end() {
    return tag_end(record_tag);
}
std::string frontiers_begin() {
    return tag_begin(frontier_tag);
}
std::string frontiers_end() {
    return tag_end(frontier_tag);
}
std::string seats_begin() {
    return tag_begin(seats_tag);
}
std::string seats_end() {
    return tag_end(seats_tag);
}
std::string hints_begin() {
    return tag_begin(hint_tag);
}
std::string hints_end() {
    return tag_end(hint_tag);
}

std::optional<GroupId> parse_group(std::string_view storage_key) {
    constexpr std::array tags = {
        frontier_tag, record_tag, indexed_dot_tag, tombstone_tag, expiry_tag};
    const bool is_of_group = std::any_of(
        tags.begin(), tags.end(), [&](char tag) { return strip_tag(storage_key, tag); });
    if (!is_of_group) return std::nullopt;
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    return in.failed() ? std::nullopt : std::optional(group);
}

std::string tombstones_begin() {
    return tag_begin(tombstone_tag);
}
std::string tombstones_end() {
    return tag_end(tombstone_tag);
}
std::string expiries_begin() {
    return tag_begin(expiry_tag);
}
std::string expiries_end() {
    return tag_end(expiry_tag);
}
std::string owners_begin() {
    return tag_begin(owners_tag);
}
std::string owners_end() {
    return tag_end(owners_tag);
}

std::string indexed_dots_prefix(GroupId group) {
    return tagged_group(indexed_dot_tag, group);
}

std::string indexed_dot(GroupId group, const Dot& dot) {
    std::string out = indexed_dots_prefix(group);
    put_dot_ordered(out, dot);
    return out;
}

std::optional<Dot> parse_indexed_dot(std::string_view storage_key) {
    if (!strip_tag(storage_key, indexed_dot_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    read_group(in);
    const Dot dot = read_dot_ordered(in);
    return in.finished() ? std::optional(dot) : std::nullopt;
}

std::string tombstones_prefix(GroupId group) {
    return tagged_group(tombstone_tag, group);
}

std::string tombstone(GroupId group, uint64_t request_created_ms, const Dot& dot) {
    std::string out = tombstones_prefix(group);
    base::put_u64_ordered(out, request_created_ms);
    put_dot_ordered(out, dot);
    return out;
}

std::optional<TombstoneKey> parse_tombstone(std::string_view storage_key) {
    if (!strip_tag(storage_key, tombstone_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    TombstoneKey key;
    key.group = read_group(in);
    key.request_created_ms = in.u64_ordered();
    key.dot = read_dot_ordered(in);
    return in.finished() ? std::optional(key) : std::nullopt;
}

std::string expiries_prefix(GroupId group) {
    return tagged_group(expiry_tag, group);
}

std::string expiry(const ExpiryKey& key) {
    std::string out = expiries_prefix(key.group);
    base::put_u64_ordered(out, key.expires_ms);
    put_dot_ordered(out, key.dot);
    return out;
}

std::optional<ExpiryKey> parse_expiry(std::string_view storage_key) {
    if (!strip_tag(storage_key, expiry_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    ExpiryKey key;
    key.group = read_group(in);
    key.expires_ms = in.u64_ordered();
    key.dot = read_dot_ordered(in);
    return in.finished() ? std::optional(key) : std::nullopt;
}

std::string owners(GroupId group) {
    return tagged_group(owners_tag, group);
}

std::optional<GroupId> parse_owners(std::string_view storage_key) {
    if (!strip_tag(storage_key, owners_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    return in.finished() ? std::optional(group) : std::nullopt;
}

std::string copy_cursor(GroupId group) {
    return tagged_group(copy_cursor_tag, group);
}

std::optional<GroupId> parse_copy_cursor(std::string_view storage_key) {
    if (!strip_tag(storage_key, copy_cursor_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    return in.finished() ? std::optional(group) : std::nullopt;
}

std::string copy_cursors_begin() {
    return tag_begin(copy_cursor_tag);
}
std::string copy_cursors_end() {
    return tag_end(copy_cursor_tag);
}

std::string tree(GroupId group) {
    return tagged_group(tree_tag, group);
}

std::optional<GroupId> parse_tree(std::string_view storage_key) {
    if (!strip_tag(storage_key, tree_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    return in.finished() ? std::optional(group) : std::nullopt;
}

std::string tree_count() {
    return tag_begin(tree_tag);
}
std::string trees_begin() {
    return tag_begin(tree_tag);
}
std::string trees_end() {
    return tag_end(tree_tag);
}

std::string hint(const HintKey& key) {
    std::string out = tagged_group(hint_tag, key.group);
    base::put_u8(out, key.seat.raw());
    put_dot(out, key.dot);
    out.append(key.key);
    return out;
}

std::optional<HintKey> parse_hint(std::string_view storage_key) {
    if (!strip_tag(storage_key, hint_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    HintKey key;
    key.group = read_group(in);
    key.seat = base::SeatIndex(in.u8());
    key.dot = read_dot(in);
    key.key = std::string(in.rest());
    if (in.failed() || key.seat.raw() >= seat_count_max) {
        return std::nullopt;
    }
    return key;
}

std::optional<RecordKey> parse_record(std::string_view storage_key) {
    if (!strip_tag(storage_key, record_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    if (in.failed()) {
        return std::nullopt;
    }
    return RecordKey{group, in.rest()};
}

std::optional<GroupId> parse_frontier(std::string_view storage_key) {
    if (!strip_tag(storage_key, frontier_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const GroupId group = read_group(in);
    if (!in.finished()) {
        return std::nullopt;
    }
    return group;
}

std::optional<base::PartitionId> parse_seats(std::string_view storage_key) {
    if (!strip_tag(storage_key, seats_tag)) {
        return std::nullopt;
    }
    base::Reader in(storage_key);
    const base::PartitionId partition(in.u16_ordered());
    if (!in.finished()) {
        return std::nullopt;
    }
    return partition;
}

std::string prefix_end(std::string prefix) {
    while (!prefix.empty() && prefix.back() == static_cast<char>(0xff)) {
        prefix.pop_back();
    }
    if (!prefix.empty()) {
        prefix.back() = static_cast<char>(prefix.back() + 1);
    }
    return prefix;
}

}  // namespace starling::node::storage_keys
