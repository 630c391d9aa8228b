#pragma once

// What callers build from an engine's few calls, the same for every engine. Changes that depend on
// what is there go through write_if(), so nothing of other writers comes between.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"
#include "storage/engine.h"

namespace starling::storage {

// The first key after all keys that begin with `prefix`; nullopt: none, they go on to the end.
std::optional<std::string> prefix_upper_bound(std::string_view prefix);

// A time that put() turns into `expiry` again. REQUIRES: not `never`.
base::WallTime to_wall_time(Expiry expiry);

absl::StatusOr<bool> contains(Engine& engine,
                              std::string_view key,
                              const Snapshot* snapshot = nullptr);

// In the order of `keys`, as they were at one moment.
absl::StatusOr<std::vector<std::optional<std::string>>> get_many(
    Engine& engine, std::span<const std::string> keys, const Snapshot* snapshot = nullptr);

// How many keys there are in [begin, end); an empty end means to the end. Walks through them.
absl::StatusOr<uint64_t> count(Engine& engine,
                               std::string_view begin,
                               std::string_view end,
                               const Snapshot* snapshot = nullptr);

struct ScanOptions {
    // [begin, end); an empty end means to the end.
    std::string begin;
    std::string end;
    bool reverse = false;
    // A page ends where the next entry would exceed one of these; it has one entry at least.
    uint64_t entries_max = 1000;
    // Of keys and values.
    uint64_t bytes_max = 1u << 20;
    const Snapshot* snapshot = nullptr;
};

struct ScanEntry {
    std::string key;
    std::string value;
    Expiry expiry = never;
};

struct ScanPage {
    std::vector<ScanEntry> entries;
    bool has_more = false;
    // With has_more: the next page's `begin`, or, in reverse, its `end`.
    std::string next;
};

absl::StatusOr<ScanPage> scan(Engine& engine, const ScanOptions& options);
// Of the keys that begin with `prefix`; `options.begin` and `.end` narrow that down, so a next page
// is had by setting them.
absl::StatusOr<ScanPage> scan_prefix(Engine& engine,
                                     std::string_view prefix,
                                     ScanOptions options = {});

// The entry with the last key <= `key`.
absl::StatusOr<std::optional<ScanEntry>> find_floor(Engine& engine,
                                                    std::string_view key,
                                                    const Snapshot* snapshot = nullptr);

// Changes the value if it is `expected` (nullopt: if the key is absent) to `desired` (nullopt:
// removes it). False: it is not, and nothing changed.
absl::StatusOr<bool> compare_and_swap(Engine& engine,
                                      std::string_view key,
                                      std::optional<std::string_view> expected,
                                      std::optional<std::string_view> desired,
                                      WriteOptions options = {});

// The three below on a key that is absent, which one is that has expired: not_found, reason
// key_not_found.
absl::Status set_expiry(Engine& engine,
                        std::string_view key,
                        base::WallTime expiry,
                        WriteOptions options = {});
// `never` when it does not expire.
absl::StatusOr<Expiry> expiry_of(Engine& engine,
                                 std::string_view key,
                                 const Snapshot* snapshot = nullptr);
// Clears the expiry; false: there was none.
absl::StatusOr<bool> persist(Engine& engine, std::string_view key, WriteOptions options = {});

// Removes what has expired, in batches; never a value that is put meanwhile. Returns how many. Only
// for callers that want it gone now: no read shows it, and compaction removes it anyway.
absl::StatusOr<uint64_t> purge_expired(Engine& engine, WriteOptions options = {});

}  // namespace starling::storage
