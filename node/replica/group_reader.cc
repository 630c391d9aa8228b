#include "node/replica/group_reader.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node::group_reader {

namespace {

storage::IteratorOptions bounds_of(std::string prefix) {
    std::string upper = storage_keys::prefix_end(prefix);
    return {.lower = std::move(prefix), .upper = std::move(upper), .snapshot = nullptr};
}

absl::StatusOr<Dot> dot_of_entry(std::string_view storage_key) {
    const std::optional<Dot> dot = storage_keys::parse_indexed_dot(storage_key);
    if (!dot.has_value()) {
        return absl::DataLossError("an entry of the dot index has a key of no dot");
    }
    return *dot;
}

// Of one page, in memory.
constexpr size_t tombstones_max = 8192;
constexpr size_t tombstone_bytes_max = 4u << 20;

// One pass over the index, with the records as they were at the same moment.
class MissingReader {
  public:
    MissingReader(storage::Engine& engine, GroupId group, size_t bytes_max, RecordFingerprints sent)
        : engine_(engine), group_(group), bytes_max_(bytes_max), snapshot_(engine.snapshot()) {
        page_.sent = std::move(sent);
    }

    // Before the first add(). Those of the least dots, where there are too many.
    absl::Status find_tombstones(const IsDotWanted& is_wanted, const std::optional<Dot>& after) {
        const auto iterator = engine_.new_iterator(
            {.lower = storage_keys::tombstones_prefix(group_),
             .upper = storage_keys::prefix_end(storage_keys::tombstones_prefix(group_)),
             .snapshot = snapshot_.get()});
        size_t bytes = 0;
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            const auto key = storage_keys::parse_tombstone(iterator->key());
            if (!key.has_value()) {
                return absl::DataLossError("an entry of the tombstones has a key of none");
            }
            if ((after.has_value() && key->dot <= *after) || !is_wanted(key->dot)) continue;
            tombstones_.emplace(key->dot, iterator->value());
            bytes += iterator->value().size();
            while (tombstones_.size() > tombstones_max ||
                   (bytes > tombstone_bytes_max && tombstones_.size() > 1)) {
                const auto last = std::prev(tombstones_.end());
                bytes -= last->second.size();
                tombstones_.erase(last);
                are_tombstones_cut_off_ = true;
            }
        }
        return iterator->status();
    }

    // False once the page is full.
    absl::StatusOr<bool> add(const Frontier::Range& range) {
        const auto iterator =
            engine_.new_iterator({.lower = storage_keys::indexed_dots_prefix(group_),
                                  .upper = storage_keys::prefix_end(
                                      storage_keys::indexed_dot(group_, {range.actor, range.last})),
                                  .snapshot = snapshot_.get()});
        iterator->seek(storage_keys::indexed_dot(group_, {range.actor, range.first}));
        for (; iterator->valid(); iterator->next()) {
            STARLING_ASSIGN_OR_RETURN(const Dot dot, dot_of_entry(iterator->key()));
            STARLING_ASSIGN_OR_RETURN(const bool has_room, add_tombstones_before(dot));
            if (!has_room || is_full()) return false;
            // It is of the same key.
            tombstones_.erase(dot);
            STARLING_RETURN_IF_ERROR(add(dot, iterator->value()));
        }
        STARLING_RETURN_IF_ERROR(iterator->status());
        return add_tombstones_before(Dot{range.actor, range.last + 1});
    }

    // Those before `end`, or all. False once the page is full, or what was found is at its end.
    absl::StatusOr<bool> add_tombstones_before(std::optional<Dot> end) {
        while (!tombstones_.empty() && (!end.has_value() || tombstones_.begin()->first < *end)) {
            if (is_full()) return false;
            const auto next = tombstones_.extract(tombstones_.begin());
            STARLING_MARK(missing_tombstone_of_no_index);
            STARLING_RETURN_IF_ERROR(add(next.key(), next.mapped()));
        }
        if (!tombstones_.empty() || !are_tombstones_cut_off_) return true;
        page_.has_more = true;
        return false;
    }

    MissingPage take() { return std::move(page_); }

  private:
    struct MetKey {
        // In the page's list.
        uint32_t index = 0;
        // Of the record.
        Context context;
    };

    bool is_full() {
        const bool full = bytes_ >= bytes_max_ || indexed_bytes_ >= indexed_bytes_max;
        page_.has_more = page_.has_more || full;
        return full;
    }

    absl::Status add(const Dot& dot, std::string_view key) {
        bytes_ += sizeof(Dot);
        indexed_bytes_ += IndexedDots::stored_bytes(key);
        auto found = keys_.find(key);
        if (found == keys_.end()) {
            bytes_ += key.size();
            found = keys_.try_emplace(std::string(key)).first;
            found->second.index = static_cast<uint32_t>(page_.dots.keys.size());
            page_.dots.keys.emplace_back(key);
            STARLING_ASSIGN_OR_RETURN(found->second.context, add_record(key));
        }
        const MetKey& met = found->second;
        page_.dots.entries.push_back({.dot = dot, .key = met.index});
        if (!met.context.covers(dot)) {
            STARLING_MARK(missing_record_was_lost);
            return absl::DataLossError(
                fmt::format("the record of a key of partition {} does not account for the write {} "
                            "that was stored with it",
                            base::to_string(group_.partition),
                            to_string(dot)));
        }
        return absl::OkStatus();
    }

    // Returns its context.
    absl::StatusOr<Context> add_record(std::string_view key) {
        STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                                  engine_.get(storage_keys::record(group_, key), snapshot_.get()));
        STARLING_ASSIGN_OR_RETURN(Record record, decode_stored(stored));
        const absl::uint128 fingerprint = fingerprint_of(key, stored.value_or(""));
        if (page_.sent.contains(fingerprint)) {
            STARLING_MARK(missing_record_was_sent_before);
            return std::move(record.context);
        }
        bytes_ += stored.has_value() ? stored->size() : 0;
        page_.fingerprints.push_back(fingerprint);
        page_.records.push_back({.key = std::string(key), .record = std::move(record)});
        return page_.records.back().record.context;
    }

    storage::Engine& engine_;
    const GroupId group_;
    const size_t bytes_max_;
    const std::unique_ptr<storage::Snapshot> snapshot_;
    MissingPage page_;
    // Not in the page yet, with their keys.
    std::map<Dot, std::string> tombstones_;
    bool are_tombstones_cut_off_ = false;
    std::map<std::string, MetKey, std::less<>> keys_;
    size_t bytes_ = 0;
    size_t indexed_bytes_ = 0;
};

}  // namespace

absl::StatusOr<Record> decode_stored(const std::optional<std::string>& stored) {
    if (!stored.has_value()) {
        return Record{};
    }
    return decode_record(*stored);
}

absl::StatusOr<ListingPage> listing_page(storage::Engine& engine,
                                         GroupId group,
                                         const BucketSet& buckets,
                                         const std::string& after,
                                         const ListingLimits& limits) {
    ListingPage page;
    std::string last;
    size_t listed_bytes = 0;
    size_t records_read = 0;
    const auto iterator = engine.new_iterator(bounds_of(storage_keys::record_prefix(group)));
    // The least key after it.
    iterator->seek(storage_keys::record(group, after + '\0'));
    for (; iterator->valid(); iterator->next()) {
        const std::string_view key = storage_keys::parse_record(iterator->key())->group_key;
        const bool is_full = listed_bytes >= limits.bytes_max ||
                             records_read >= limits.records_read_max ||
                             page.bytes_read >= limits.bytes_read_max;
        // Also of the record that the next page begins with: it is read for both.
        page.bytes_read += key.size() + iterator->value().size();
        if (is_full) {
            page.up_to = std::move(last);
            break;
        }
        last = key;
        ++records_read;
        if (!buckets.test(bucket_of(key))) {
            continue;
        }
        STARLING_ASSIGN_OR_RETURN(const Record record, decode_record(iterator->value()));
        const uint64_t digest = leaf_digest(key, record);
        if (digest != 0) {
            listed_bytes += key.size() + sizeof(digest);
            page.keys.push_back({.key = std::string(key), .digest = digest});
        }
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return page;
}

absl::StatusOr<std::vector<KeyRecord>> records_of(storage::Engine& engine,
                                                  GroupId group,
                                                  const std::vector<std::string>& keys) {
    std::vector<KeyRecord> found;
    for (const std::string& key : keys) {
        STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                                  engine.get(storage_keys::record(group, key)));
        if (stored.has_value()) {
            STARLING_ASSIGN_OR_RETURN(Record record, decode_record(*stored));
            found.push_back({.key = key, .record = std::move(record)});
        }
    }
    return found;
}

absl::StatusOr<ScanPage> scan_page(storage::Engine& engine,
                                   GroupId group,
                                   const KeyRange& range,
                                   size_t bytes_max) {
    ScanPage page;
    storage::IteratorOptions bounds = bounds_of(storage_keys::record_prefix(group));
    if (!range.end.empty()) {
        bounds.upper = storage_keys::record(group, range.end);
    }
    const auto iterator = engine.new_iterator(std::move(bounds));
    for (iterator->seek(storage_keys::record(group, range.from)); iterator->valid();
         iterator->next()) {
        const auto key = storage_keys::parse_record(iterator->key());
        const size_t size = key->group_key.size() + iterator->value().size();
        if (!page.records.empty() && page.bytes + size > bytes_max) {
            page.next = std::string(key->group_key);
            break;
        }
        STARLING_ASSIGN_OR_RETURN(Record record, decode_record(iterator->value()));
        page.records.push_back({.key = std::string(key->group_key), .record = std::move(record)});
        page.bytes += size;
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return page;
}

absl::StatusOr<MissingPage> missing_page(storage::Engine& engine,
                                         GroupId group,
                                         const std::vector<Frontier::Range>& ranges,
                                         const std::optional<Dot>& after,
                                         size_t bytes_max,
                                         RecordFingerprints sent,
                                         const IsDotWanted& is_tombstone_wanted) {
    std::vector<Frontier::Range> left;
    for (Frontier::Range range : ranges) {
        if (after.has_value()) {
            if (Dot{range.actor, range.last} <= *after) continue;
            if (range.actor == after->actor)
                range.first = std::max(range.first, after->sequence + 1);
        }
        left.push_back(range);
    }
    MissingReader reader(engine, group, bytes_max, std::move(sent));
    if (is_tombstone_wanted) {
        STARLING_RETURN_IF_ERROR(reader.find_tombstones(is_tombstone_wanted, after));
    }
    for (const Frontier::Range& range : left) {
        STARLING_ASSIGN_OR_RETURN(const bool has_room, reader.add(range));
        if (!has_room) return reader.take();
    }
    STARLING_RETURN_IF_ERROR(reader.add_tombstones_before(std::nullopt).status());
    return reader.take();
}

absl::Status check(storage::Engine& engine,
                   GroupId group,
                   const std::vector<Frontier::Range>& ranges) {
    constexpr size_t page_bytes = 1u << 20;
    for (const std::string& prefix : {storage_keys::record_prefix(group),
                                      storage_keys::indexed_dots_prefix(group),
                                      storage_keys::tombstones_prefix(group),
                                      storage_keys::expiries_prefix(group)}) {
        const bool are_records = prefix == storage_keys::record_prefix(group);
        const auto iterator = engine.new_iterator(bounds_of(prefix));
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            if (are_records) {
                STARLING_RETURN_IF_ERROR(decode_record(iterator->value()).status());
            }
        }
        STARLING_RETURN_IF_ERROR(iterator->status());
    }
    std::optional<Dot> after;
    for (bool has_more = !ranges.empty(); has_more;) {
        STARLING_ASSIGN_OR_RETURN(const MissingPage page,
                                  missing_page(engine, group, ranges, after, page_bytes, {}));
        has_more = page.has_more;
        if (!page.dots.entries.empty()) after = page.dots.entries.back().dot;
    }
    return absl::OkStatus();
}

absl::StatusOr<std::vector<IndexedDot>> readable_writes(storage::Engine& engine,
                                                        GroupId group,
                                                        const std::vector<Frontier::Range>& ranges,
                                                        size_t count_max) {
    std::vector<IndexedDot> found;
    for (const Frontier::Range& range : ranges) {
        for (uint64_t sequence = range.first; sequence <= range.last && found.size() < count_max;
             ++sequence) {
            const Dot dot{range.actor, sequence};
            absl::StatusOr<std::optional<std::string>> stored =
                engine.get(storage_keys::indexed_dot(group, dot));
            if (absl::IsDataLoss(stored.status())) continue;
            STARLING_RETURN_IF_ERROR(stored.status());
            if (!stored->has_value()) continue;
            std::string key = *std::move(*stored);
            stored = engine.get(storage_keys::record(group, key));
            if (absl::IsDataLoss(stored.status())) continue;
            STARLING_RETURN_IF_ERROR(stored.status());
            const absl::StatusOr<Record> record = decode_stored(*stored);
            const bool is_there = record.ok() && std::any_of(record->siblings.begin(),
                                                             record->siblings.end(),
                                                             [&](const Sibling& sibling) {
                                                                 return sibling.dot == dot;
                                                             });
            if (is_there) found.push_back({.dot = dot, .key = std::move(key)});
        }
    }
    return found;
}

absl::StatusOr<std::vector<Dot>> indexed_dots_past(storage::Engine& engine,
                                                   GroupId group,
                                                   const Frontier& gone,
                                                   const std::optional<Dot>& after,
                                                   size_t count_max) {
    std::vector<Dot> found;
    const auto iterator = engine.new_iterator(bounds_of(storage_keys::indexed_dots_prefix(group)));
    if (after.has_value()) {
        iterator->seek(storage_keys::indexed_dot(group, *after));
    } else {
        iterator->seek_to_first();
    }
    for (; iterator->valid() && found.size() < count_max; iterator->next()) {
        STARLING_ASSIGN_OR_RETURN(const Dot dot, dot_of_entry(iterator->key()));
        if (gone.is_past(dot) && dot != after) found.push_back(dot);
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return found;
}

absl::StatusOr<TombstonesPage> tombstones_page(storage::Engine& engine,
                                               GroupId group,
                                               uint64_t created_before_ms,
                                               const std::string& from,
                                               size_t count_max) {
    TombstonesPage page;
    const auto iterator = engine.new_iterator(bounds_of(storage_keys::tombstones_prefix(group)));
    for (iterator->seek(from); iterator->valid() && page.tombstones.size() < count_max;
         iterator->next()) {
        const auto key = storage_keys::parse_tombstone(iterator->key());
        if (!key.has_value()) {
            return absl::DataLossError("an entry of the list of tombstones has a key of none");
        }
        if (key->request_created_ms >= created_before_ms) {
            page.too_young_ms = key->request_created_ms;
            break;
        }
        page.tombstones.push_back({.dot = key->dot,
                                   .request_created_ms = key->request_created_ms,
                                   .key = std::string(iterator->value())});
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return page;
}

absl::Status GroupCount::add_record(std::string_view stored_key, std::string_view value) {
    const auto key = storage_keys::parse_record(stored_key);
    if (!key.has_value()) {
        return absl::DataLossError("a stored record has a key that does not decode");
    }
    STARLING_ASSIGN_OR_RETURN(const Record record, decode_record(value));
    Counted& group = groups_[key->group];
    group.buckets[bucket_of(key->group_key)] += leaf_digest(key->group_key, record);
    ++group.record_count;
    return absl::OkStatus();
}

absl::Status GroupCount::add_tombstone(std::string_view stored_key) {
    const auto key = storage_keys::parse_tombstone(stored_key);
    if (!key.has_value()) {
        return absl::DataLossError("an entry of the list of tombstones has a key of none");
    }
    Counted& group = groups_[key->group];
    ++group.tombstone_count;
    group.oldest_tombstone_ms = std::min(group.oldest_tombstone_ms, key->request_created_ms);
    return absl::OkStatus();
}

absl::StatusOr<bool> GroupCount::read_page(storage::Engine& engine,
                                           const storage::Snapshot& snapshot,
                                           size_t bytes_max) {
    size_t bytes = 0;
    if (!are_records_read_) {
        STARLING_ASSIGN_OR_RETURN(are_records_read_,
                                  read_on(engine,
                                          snapshot,
                                          storage_keys::records_begin(),
                                          storage_keys::records_end(),
                                          bytes_max,
                                          bytes));
        if (!are_records_read_) return false;
    }
    return read_on(engine,
                   snapshot,
                   storage_keys::tombstones_begin(),
                   storage_keys::tombstones_end(),
                   bytes_max,
                   bytes);
}

absl::StatusOr<bool> GroupCount::read_on(storage::Engine& engine,
                                         const storage::Snapshot& snapshot,
                                         const std::string& begin,
                                         const std::string& end,
                                         size_t bytes_max,
                                         size_t& bytes) {
    const auto entries = engine.new_iterator(
        {.lower = after_.empty() ? begin : after_ + '\0', .upper = end, .snapshot = &snapshot});
    for (entries->seek_to_first(); entries->valid() && bytes < bytes_max; entries->next()) {
        STARLING_RETURN_IF_ERROR(are_records_read_ ? add_tombstone(entries->key())
                                                   : add_record(entries->key(), entries->value()));
        bytes += entries->key().size() + entries->value().size();
        after_ = entries->key();
    }
    STARLING_RETURN_IF_ERROR(entries->status());
    if (entries->valid()) return false;
    after_.clear();
    return true;
}

}  // namespace starling::node::group_reader
