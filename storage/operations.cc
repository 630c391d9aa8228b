#include "storage/operations.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace starling::storage {

namespace {

// Few enough that a conflict costs little, many enough that a batch is worth its call.
constexpr size_t purge_batch_keys = 256;

absl::Status key_not_found(std::string_view key) {
    return base::make_error(
        absl::StatusCode::kNotFound,
        base::reason::key_not_found,
        fmt::format("key \"{}\" is absent", absl::CHexEscape(std::string(key))));
}

// Gives the key the expiry that `choose` makes of its entry, or leaves it when that is nullopt.
// Returns the entry as it was.
template <typename Choose>
absl::StatusOr<Entry> change_expiry(Engine& engine,
                                    std::string_view key,
                                    const WriteOptions& options,
                                    Choose&& choose) {
    for (;;) {
        STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, engine.get_entry(key));
        if (!entry.has_value()) {
            return key_not_found(key);
        }
        WriteBatch batch;
        if (!choose(*entry, batch)) {
            return *std::move(entry);
        }
        const Condition unchanged{.key = std::string(key), .expected = entry->value};
        absl::Status status = engine.write_if({&unchanged, 1}, batch, options);
        if (status.ok()) {
            return *std::move(entry);
        }
        // Somebody wrote another value, so somebody else has got on.
        if (!absl::IsAborted(status)) {
            return status;
        }
    }
}

// True: it was still expired, and is gone.
absl::StatusOr<bool> remove_if_absent(Engine& engine,
                                      std::span<const Condition> expired,
                                      const WriteOptions& options) {
    WriteBatch batch;
    for (const Condition& condition : expired) {
        batch.remove(condition.key);
    }
    const absl::Status status = engine.write_if(expired, batch, options);
    if (absl::IsAborted(status)) {
        return false;
    }
    STARLING_RETURN_IF_ERROR(status);
    return true;
}

absl::StatusOr<uint64_t> purge_batch(Engine& engine,
                                     std::span<const Condition> expired,
                                     const WriteOptions& options) {
    STARLING_ASSIGN_OR_RETURN(const bool all, remove_if_absent(engine, expired, options));
    if (all) {
        return expired.size();
    }
    uint64_t purged = 0;
    for (size_t i = 0; i < expired.size(); ++i) {
        STARLING_ASSIGN_OR_RETURN(const bool one,
                                  remove_if_absent(engine, expired.subspan(i, 1), options));
        purged += one ? 1u : 0u;
    }
    return purged;
}

}  // namespace

std::optional<std::string> prefix_upper_bound(std::string_view prefix) {
    const size_t last = prefix.find_last_not_of('\xff');
    if (last == std::string_view::npos) {
        return std::nullopt;
    }
    std::string bound(prefix.substr(0, last + 1));
    bound.back() = static_cast<char>(static_cast<unsigned char>(bound.back()) + 1);
    return bound;
}

base::WallTime to_wall_time(Expiry expiry) {
    return base::WallTime(
        std::chrono::milliseconds(static_cast<int64_t>(std::min(expiry, expiry_max))));
}

absl::StatusOr<bool> contains(Engine& engine, std::string_view key, const Snapshot* snapshot) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> value, engine.get(key, snapshot));
    return value.has_value();
}

absl::StatusOr<std::vector<std::optional<std::string>>> get_many(Engine& engine,
                                                                 std::span<const std::string> keys,
                                                                 const Snapshot* snapshot) {
    std::unique_ptr<Snapshot> own;
    if (snapshot == nullptr) {
        own = engine.snapshot();
        snapshot = own.get();
    }
    std::vector<std::optional<std::string>> values;
    values.reserve(keys.size());
    for (const std::string& key : keys) {
        STARLING_ASSIGN_OR_RETURN(std::optional<std::string> value, engine.get(key, snapshot));
        values.push_back(std::move(value));
    }
    return values;
}

absl::StatusOr<uint64_t> count(Engine& engine,
                               std::string_view begin,
                               std::string_view end,
                               const Snapshot* snapshot) {
    const auto iterator = engine.new_iterator(
        {.lower = std::string(begin), .upper = std::string(end), .snapshot = snapshot});
    uint64_t count = 0;
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        ++count;
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return count;
}

absl::StatusOr<ScanPage> scan(Engine& engine, const ScanOptions& options) {
    const auto iterator = engine.new_iterator(
        {.lower = options.begin, .upper = options.end, .snapshot = options.snapshot});
    ScanPage page;
    uint64_t bytes = 0;
    options.reverse ? iterator->seek_to_last() : iterator->seek_to_first();
    while (iterator->valid()) {
        bytes += iterator->key().size() + iterator->value().size();
        if (!page.entries.empty() &&
            (page.entries.size() >= options.entries_max || bytes > options.bytes_max)) {
            page.has_more = true;
            page.next = page.entries.back().key;
            if (!options.reverse) {
                page.next.push_back('\0');
            }
            break;
        }
        page.entries.push_back({.key = std::string(iterator->key()),
                                .value = std::string(iterator->value()),
                                .expiry = iterator->expiry()});
        options.reverse ? iterator->previous() : iterator->next();
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return page;
}

absl::StatusOr<ScanPage> scan_prefix(Engine& engine, std::string_view prefix, ScanOptions options) {
    if (options.begin < prefix) {
        options.begin = prefix;
    }
    const std::optional<std::string> bound = prefix_upper_bound(prefix);
    if (bound.has_value() && (options.end.empty() || *bound < options.end)) {
        options.end = *bound;
    }
    return scan(engine, options);
}

absl::StatusOr<std::optional<ScanEntry>> find_floor(Engine& engine,
                                                    std::string_view key,
                                                    const Snapshot* snapshot) {
    const auto iterator = engine.new_iterator({.lower = {}, .upper = {}, .snapshot = snapshot});
    std::string beyond(key);
    beyond.push_back('\0');
    iterator->seek_before(beyond);
    STARLING_RETURN_IF_ERROR(iterator->status());
    if (!iterator->valid()) {
        return std::optional<ScanEntry>();
    }
    return std::optional<ScanEntry>({.key = std::string(iterator->key()),
                                     .value = std::string(iterator->value()),
                                     .expiry = iterator->expiry()});
}

absl::StatusOr<bool> compare_and_swap(Engine& engine,
                                      std::string_view key,
                                      std::optional<std::string_view> expected,
                                      std::optional<std::string_view> desired,
                                      WriteOptions options) {
    Condition condition{.key = std::string(key), .expected = std::nullopt};
    if (expected.has_value()) {
        condition.expected.emplace(*expected);
    }
    WriteBatch batch;
    if (desired.has_value()) {
        batch.put(key, *desired);
    } else {
        batch.remove(key);
    }
    const absl::Status status = engine.write_if({&condition, 1}, batch, options);
    if (absl::IsAborted(status)) {
        return false;
    }
    STARLING_RETURN_IF_ERROR(status);
    return true;
}

absl::Status set_expiry(Engine& engine,
                        std::string_view key,
                        base::WallTime expiry,
                        WriteOptions options) {
    return change_expiry(engine,
                         key,
                         options,
                         [&](const Entry& entry, WriteBatch& batch) {
                             batch.put(key, entry.value, expiry);
                             return true;
                         })
        .status();
}

absl::StatusOr<Expiry> expiry_of(Engine& engine, std::string_view key, const Snapshot* snapshot) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<Entry> entry, engine.get_entry(key, snapshot));
    if (!entry.has_value()) {
        return key_not_found(key);
    }
    return entry->expiry;
}

absl::StatusOr<bool> persist(Engine& engine, std::string_view key, WriteOptions options) {
    STARLING_ASSIGN_OR_RETURN(
        const Entry before,
        change_expiry(engine, key, options, [&](const Entry& entry, WriteBatch& batch) {
            batch.put(key, entry.value);
            return entry.expiry != never;
        }));
    return before.expiry != never;
}

absl::StatusOr<uint64_t> purge_expired(Engine& engine, WriteOptions options) {
    // What one iterator shows and the other does not has expired, by the engine's own clock.
    const auto snapshot = engine.snapshot();
    const auto all = engine.new_iterator(
        {.lower = {}, .upper = {}, .snapshot = snapshot.get(), .include_expired = true});
    const auto live = engine.new_iterator({.lower = {}, .upper = {}, .snapshot = snapshot.get()});
    std::vector<Condition> expired;
    uint64_t purged = 0;
    live->seek_to_first();
    for (all->seek_to_first(); all->valid(); all->next()) {
        if (live->valid() && live->key() == all->key()) {
            live->next();
            continue;
        }
        STARLING_RETURN_IF_ERROR(live->status());
        expired.push_back({.key = std::string(all->key()), .expected = std::nullopt});
        if (expired.size() == purge_batch_keys) {
            STARLING_ASSIGN_OR_RETURN(const uint64_t gone, purge_batch(engine, expired, options));
            purged += gone;
            expired.clear();
        }
    }
    STARLING_RETURN_IF_ERROR(all->status());
    STARLING_RETURN_IF_ERROR(live->status());
    if (!expired.empty()) {
        STARLING_ASSIGN_OR_RETURN(const uint64_t gone, purge_batch(engine, expired, options));
        purged += gone;
    }
    return purged;
}

}  // namespace starling::storage
