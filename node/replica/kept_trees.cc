#include "node/replica/kept_trees.h"

#include <string>

#include "base/codec.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node::kept_trees {

namespace {

std::string encode(const group_reader::Counted& counted) {
    std::string out;
    base::put_varint(out, counted.record_count);
    base::put_varint(out, counted.tombstone_count);
    for (const uint64_t digest : counted.buckets) {
        base::put_u64(out, digest);
    }
    return out;
}

std::optional<group_reader::Counted> decode(std::string_view bytes) {
    base::Reader in(bytes);
    group_reader::Counted counted;
    counted.record_count = in.varint();
    counted.tombstone_count = in.varint();
    for (uint64_t& digest : counted.buckets) {
        digest = in.u64();
    }
    return in.finished() ? std::optional(counted) : std::nullopt;
}

absl::Status unusable() {
    return absl::DataLossError("the kept hash trees do not decode");
}

absl::StatusOr<uint64_t> oldest_tombstone_ms(storage::Engine& engine, GroupId group) {
    const std::string lower = storage_keys::tombstones_prefix(group);
    const auto entries = engine.new_iterator(
        {.lower = lower, .upper = storage_keys::prefix_end(lower), .snapshot = nullptr});
    entries->seek_to_first();
    STARLING_RETURN_IF_ERROR(entries->status());
    if (!entries->valid()) return unusable();
    const auto key = storage_keys::parse_tombstone(entries->key());
    if (!key.has_value()) return unusable();
    return key->request_created_ms;
}

}  // namespace

void put(storage::WriteBatch& batch, const Trees& trees) {
    for (const auto& [group, counted] : trees) {
        batch.put(storage_keys::tree(group), encode(counted));
    }
    std::string count;
    base::put_varint(count, trees.size());
    batch.put(storage_keys::tree_count(), count);
}

void remove(storage::WriteBatch& batch) {
    batch.remove_range(storage_keys::trees_begin(), storage_keys::trees_end());
}

absl::StatusOr<std::optional<Trees>> read(storage::Engine& engine) {
    const auto entries = engine.new_iterator({.lower = storage_keys::trees_begin(),
                                              .upper = storage_keys::trees_end(),
                                              .snapshot = nullptr});
    Trees trees;
    std::optional<uint64_t> count;
    for (entries->seek_to_first(); entries->valid(); entries->next()) {
        if (entries->key() == storage_keys::tree_count()) {
            base::Reader in(entries->value());
            count = in.varint();
            if (!in.finished()) return unusable();
            continue;
        }
        const auto group = storage_keys::parse_tree(entries->key());
        auto counted = decode(entries->value());
        if (!group.has_value() || !counted.has_value()) return unusable();
        if (counted->tombstone_count > 0) {
            STARLING_ASSIGN_OR_RETURN(counted->oldest_tombstone_ms,
                                      oldest_tombstone_ms(engine, *group));
        }
        trees.emplace(*group, *counted);
    }
    STARLING_RETURN_IF_ERROR(entries->status());
    if (!count.has_value() && trees.empty()) return std::nullopt;
    if (count != trees.size()) return unusable();
    return trees;
}

}  // namespace starling::node::kept_trees
