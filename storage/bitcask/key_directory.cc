#include "storage/bitcask/key_directory.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/hash.h"
#include "storage/log/record_file.h"

namespace starling::storage::bitcask {

namespace {

// What a change takes in its file besides key and value: its record's header, when it has a record
// of its own, and a few bytes of lengths.
constexpr uint64_t change_overhead_bytes = record_header_bytes + 6;
// Work between which others get the lock.
constexpr size_t keys_per_lock = 256;
// Restarts and checkpoints leave small files; more of them than this are merged.
constexpr ptrdiff_t small_files_max = 8;

bool is_small(uint64_t bytes, uint64_t file_bytes_max) {
    return bytes < file_bytes_max / 4;
}

}  // namespace

KeyDirectory::KeyDirectory(uint64_t recent_bytes_max)
    : recent_bytes_max_(recent_bytes_max),
      map_([this](std::string_view key, const Map::Version& version) {
          mutex_.AssertHeld();
          mark_stale(key, *version.payload);
      }) {}

KeyDirectory::File& KeyDirectory::file(uint64_t number) {
    const auto found = files_.find(number);
    STARLING_CHECK(found != files_.end());
    return found->second;
}

KeyDirectory::File& KeyDirectory::add_file(uint64_t number, Stage stage) {
    File& file = files_[number];
    STARLING_CHECK(file.token == nullptr);
    file.token = std::make_shared<const DataFile>(DataFile{.number = number});
    file.stage = stage;
    return file;
}

void KeyDirectory::add_stale(File& file, uint64_t bytes) {
    bytes = std::min(bytes, file.bytes - file.stale_bytes);
    file.stale_bytes += bytes;
    stale_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

void KeyDirectory::mark_stale(std::string_view key, const Location& location) {
    File& holder = file(location.file);
    holder.stale_keys.insert(base::xxh3_64(key));
    add_stale(holder, key.size() + location.size + change_overhead_bytes);
}

// In the log a removal is stale from the start; what a merge has kept of them is needed.
void KeyDirectory::count_removal(const Change& change, File& file) {
    if (change.type != ChangeType::put && !file.merged) {
        add_stale(file, change.key.size() + change.end.size() + change_overhead_bytes);
    }
}

KeyDirectory::Found KeyDirectory::found(std::string key, const Map::Version& version) const {
    Found result{.key = std::move(key),
                 .location = *version.payload,
                 .expiry = version.expiry,
                 .sequence = version.sequence,
                 .recent = nullptr,
                 .recent_offset = 0,
                 .file = nullptr,
                 .complete = false};
    const Location& location = result.location;
    auto batch = std::upper_bound(recent_.begin(),
                                  recent_.end(),
                                  std::pair(location.file, location.offset),
                                  [](const auto& place, const RecentBatch& other) {
                                      return place < std::pair(other.file, other.offset);
                                  });
    if (batch != recent_.begin()) {
        --batch;
        if (batch->file == location.file &&
            location.offset + location.size <= batch->offset + batch->batch->size()) {
            result.recent = batch->batch;
            result.recent_offset = batch->offset;
        }
    }
    const auto holder = files_.find(location.file);
    STARLING_CHECK(holder != files_.end());
    result.file = holder->second.token;
    result.complete = holder->second.stage == Stage::complete;
    return result;
}

std::optional<KeyDirectory::Found> KeyDirectory::find(std::string_view key,
                                                      At at,
                                                      Expiry now) const {
    absl::ReaderMutexLock lock(&mutex_);
    const Map::Version* version =
        map_.find(key, {.sequence = at.value_or(map_.sequence()), .now = now});
    return version == nullptr ? std::nullopt
                              : std::optional<Found>(found(std::string(key), *version));
}

std::optional<KeyDirectory::Found> KeyDirectory::first_from(
    std::string_view key, bool beyond, std::string_view end, Sequence at, Expiry now) const {
    absl::ReaderMutexLock lock(&mutex_);
    auto entry = map_.first_from(key, beyond, end, {.sequence = at, .now = now});
    return entry.has_value() ? std::optional<Found>(found(std::move(entry->key), entry->version))
                             : std::nullopt;
}

std::optional<KeyDirectory::Found> KeyDirectory::last_before(std::optional<std::string_view> key,
                                                             std::string_view begin,
                                                             Sequence at,
                                                             Expiry now) const {
    absl::ReaderMutexLock lock(&mutex_);
    auto entry = map_.last_before(key, begin, {.sequence = at, .now = now});
    return entry.has_value() ? std::optional<Found>(found(std::move(entry->key), entry->version))
                             : std::nullopt;
}

Sequence KeyDirectory::sequence() const {
    absl::ReaderMutexLock lock(&mutex_);
    return map_.sequence();
}

Sequence KeyDirectory::take_snapshot() {
    absl::MutexLock lock(&mutex_);
    return map_.take_snapshot();
}

void KeyDirectory::release_snapshot(Sequence sequence) {
    absl::MutexLock lock(&mutex_);
    map_.release_snapshot(sequence);
}

void KeyDirectory::begin_file(uint64_t number, Sequence flushed) {
    absl::MutexLock lock(&mutex_);
    if (active_ != 0) {
        file(active_).stage = Stage::full;
    }
    File& begun = add_file(number, Stage::active);
    begun.bytes = record_file_header_bytes;
    begun.flushed = flushed;
    file_bytes_.fetch_add(begun.bytes, std::memory_order_relaxed);
    active_ = number;
}

void KeyDirectory::apply(std::span<const Change> changes,
                         std::string_view batch,
                         uint64_t offset,
                         uint64_t appended,
                         uint64_t written) {
    auto kept = std::make_shared<const std::string>(batch);
    absl::MutexLock lock(&mutex_);
    File& active = file(active_);
    active.bytes += record_header_bytes + batch.size();
    file_bytes_.fetch_add(record_header_bytes + batch.size(), std::memory_order_relaxed);
    recent_bytes_ += kept->size();
    recent_.push_back(
        {.file = active_, .offset = offset, .batch = std::move(kept), .appended = appended});
    for (const Change& change : changes) {
        switch (change.type) {
            case ChangeType::put: {
                Location location = change.location;
                location.file = active_;
                location.offset += offset;
                map_.put(change.key, location, change.expiry);
                break;
            }
            case ChangeType::remove:
                map_.remove(change.key);
                break;
            case ChangeType::remove_range:
                map_.remove_range(change.key, change.end);
                break;
        }
        count_removal(change, active);
    }
    map_.commit();
    trim_recent(written);
}

void KeyDirectory::trim_recent(uint64_t written) {
    while (recent_bytes_ > recent_bytes_max_ && recent_.front().appended <= written) {
        recent_bytes_ -= recent_.front().batch->size();
        recent_.pop_front();
    }
}

uint64_t KeyDirectory::active_number() const {
    absl::ReaderMutexLock lock(&mutex_);
    return active_;
}

KeyDirectory::FullFiles KeyDirectory::full_files() const {
    absl::ReaderMutexLock lock(&mutex_);
    FullFiles full;
    for (const auto& [number, file] : files_) {
        if (file.stage == Stage::full) {
            full.files.push_back({.number = number, .bytes = file.bytes, .merged = false});
        }
    }
    const auto active = files_.find(active_);
    STARLING_CHECK(active != files_.end());
    full.next_number = active_;
    full.flushed = active->second.flushed;
    return full;
}

void KeyDirectory::set_complete(std::span<const ListedFile> files) {
    absl::MutexLock lock(&mutex_);
    for (const ListedFile& listed : files) {
        file(listed.number).stage = Stage::complete;
    }
}

bool KeyDirectory::is_scattered(uint64_t file_bytes_max) const {
    absl::ReaderMutexLock lock(&mutex_);
    return std::count_if(files_.begin(), files_.end(), [&](const auto& entry) {
               return entry.second.stage == Stage::complete &&
                      is_small(entry.second.bytes, file_bytes_max);
           }) > small_files_max;
}

bool KeyDirectory::active_is_stale() const {
    absl::ReaderMutexLock lock(&mutex_);
    const auto active = files_.find(active_);
    return active != files_.end() && active->second.stale_bytes >= active->second.bytes / 3;
}

std::vector<ListedFile> KeyDirectory::pick_merge(uint64_t file_bytes_max,
                                                 uint64_t live_bytes_max,
                                                 uint64_t room) const {
    struct Candidate {
        ListedFile file;
        uint64_t stale;
        uint64_t live() const { return file.bytes - stale; }
        bool is_stale() const { return stale > 0 && stale >= file.bytes / 3; }
        double stale_share() const {
            return static_cast<double>(stale) / static_cast<double>(file.bytes);
        }
    };
    std::vector<Candidate> candidates;
    ptrdiff_t small = 0;
    {
        absl::ReaderMutexLock lock(&mutex_);
        for (const auto& [number, file] : files_) {
            if (file.stage == Stage::complete) {
                candidates.push_back(
                    {.file = {.number = number, .bytes = file.bytes, .merged = file.merged},
                     .stale = file.stale_bytes});
                small += is_small(file.bytes, file_bytes_max) ? 1 : 0;
            }
        }
    }
    std::erase_if(candidates, [&](const Candidate& candidate) {
        return !candidate.is_stale() &&
               !(small > small_files_max && is_small(candidate.file.bytes, file_bytes_max));
    });
    std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
        return a.stale_share() > b.stale_share();
    });
    std::vector<ListedFile> picked;
    uint64_t live = 0;
    for (const Candidate& candidate : candidates) {
        live += candidate.live();
        if (live > room || (live > live_bytes_max && !picked.empty())) {
            break;
        }
        picked.push_back(candidate.file);
    }
    // One small file alone would become another one.
    if (picked.size() == 1 && !candidates.front().is_stale()) {
        picked.clear();
    }
    return picked;
}

bool KeyDirectory::holds_stale(std::string_view key, const std::set<uint64_t>& except) const {
    const uint64_t hash = base::xxh3_64(key);
    return std::any_of(files_.begin(), files_.end(), [&](const auto& entry) {
        return entry.second.stale_keys.contains(hash) && !except.contains(entry.first);
    });
}

bool KeyDirectory::holds_any_stale(const std::set<uint64_t>& except) const {
    return std::any_of(files_.begin(), files_.end(), [&](const auto& entry) {
        return !entry.second.stale_keys.empty() && !except.contains(entry.first);
    });
}

// The merge makes the log durable before it takes effect, so what a newer change hides is hidden
// for good.
Fate KeyDirectory::fate(const Change& change, const std::set<uint64_t>& inputs, Expiry now) const {
    absl::ReaderMutexLock lock(&mutex_);
    switch (change.type) {
        case ChangeType::put:
            return fate_of_put(change, inputs, now);
        case ChangeType::remove: {
            const Map::Version* newest = map_.newest(change.key);
            // Versions without a newest value are older ones, kept for snapshots.
            const bool has_older = newest != nullptr && !newest->payload.has_value();
            const bool replaced = newest != nullptr && newest->payload.has_value();
            return !replaced && (has_older || holds_stale(change.key, inputs)) ? Fate::keep
                                                                               : Fate::drop;
        }
        case ChangeType::remove_range:
            return holds_any_stale(inputs) || map_.has_history(change.key, change.end) ? Fate::keep
                                                                                       : Fate::drop;
    }
    return Fate::keep;
}

Fate KeyDirectory::fate_of_put(const Change& change,
                               const std::set<uint64_t>& inputs,
                               Expiry now) const {
    const Map::Version* version = map_.version(change.key, change.sequence);
    if (version == nullptr || !version->payload.has_value() ||
        version->payload->file != change.location.file ||
        version->payload->offset != change.location.offset) {
        return Fate::drop;
    }
    if (map_.newest(change.key)->sequence != change.sequence) {
        return Fate::keep_hidden;
    }
    if (!Map::has_expired(*version, now) || !map_.is_alone(change.key, change.sequence)) {
        return Fate::keep;
    }
    return holds_stale(change.key, inputs) ? Fate::keep_as_removal : Fate::drop_expired;
}

void KeyDirectory::add_merged(const ListedFile& listed) {
    absl::MutexLock lock(&mutex_);
    File& added = add_file(listed.number, Stage::complete);
    added.bytes = listed.bytes;
    added.merged = listed.merged;
    file_bytes_.fetch_add(listed.bytes, std::memory_order_relaxed);
}

void KeyDirectory::relocate(std::span<const Move> moves) {
    while (!moves.empty()) {
        const auto some = moves.first(std::min(moves.size(), keys_per_lock));
        moves = moves.subspan(some.size());
        absl::MutexLock lock(&mutex_);
        for (const Move& move : some) {
            if (!map_.relocate(move.key, move.sequence, move.to)) {
                mark_stale(move.key, move.to);
            }
        }
    }
}

void KeyDirectory::erase(std::span<const std::pair<std::string, Sequence>> expired) {
    while (!expired.empty()) {
        const auto some = expired.first(std::min(expired.size(), keys_per_lock));
        expired = expired.subspan(some.size());
        absl::MutexLock lock(&mutex_);
        for (const auto& [key, sequence] : some) {
            map_.erase(key, sequence);
        }
    }
}

std::vector<DataFilePtr> KeyDirectory::retire(const std::set<uint64_t>& numbers) {
    std::vector<DataFilePtr> retired;
    absl::MutexLock lock(&mutex_);
    for (const uint64_t number : numbers) {
        File& gone = file(number);
        file_bytes_.fetch_sub(gone.bytes, std::memory_order_relaxed);
        stale_bytes_.fetch_sub(gone.stale_bytes, std::memory_order_relaxed);
        retired.push_back(std::move(gone.token));
        files_.erase(number);
    }
    // What is in memory of those files may lie among what is not.
    for (auto batch = recent_.begin(); batch != recent_.end();) {
        if (numbers.contains(batch->file)) {
            recent_bytes_ -= batch->batch->size();
            batch = recent_.erase(batch);
        } else {
            ++batch;
        }
    }
    return retired;
}

void KeyDirectory::add_loaded(const ListedFile& listed) {
    add_merged(listed);
}

void KeyDirectory::set_bytes(uint64_t number, uint64_t bytes) {
    absl::MutexLock lock(&mutex_);
    File& grown = file(number);
    file_bytes_.fetch_add(bytes - grown.bytes, std::memory_order_relaxed);
    grown.bytes = bytes;
}

void KeyDirectory::load(const Change& change) {
    absl::MutexLock lock(&mutex_);
    switch (change.type) {
        case ChangeType::put:
            map_.load(
                change.key,
                {.sequence = change.sequence, .expiry = change.expiry, .payload = change.location});
            break;
        case ChangeType::remove:
            map_.load(change.key,
                      {.sequence = change.sequence, .expiry = never, .payload = std::nullopt});
            break;
        case ChangeType::remove_range:
            loaded_ranges_.push_back({.begin = std::string(change.key),
                                      .end = std::string(change.end),
                                      .sequence = change.sequence});
            break;
    }
    count_removal(change, file(change.location.file));
}

void KeyDirectory::finish_loading(Sequence sequence) {
    absl::MutexLock lock(&mutex_);
    for (const LoadedRange& range : std::exchange(loaded_ranges_, {})) {
        map_.load_range_removal(range.begin, range.end, range.sequence);
    }
    map_.finish_loading(sequence);
}

KeyDirectory::Sizes KeyDirectory::sizes() const {
    absl::ReaderMutexLock lock(&mutex_);
    Sizes sizes{.memory_bytes = map_.memory_bytes() + recent_bytes_,
                .file_bytes = file_bytes_.load(std::memory_order_relaxed),
                .stale_bytes = stale_bytes_.load(std::memory_order_relaxed)};
    for (const auto& [number, file] : files_) {
        sizes.memory_bytes += sizeof(File) + file.stale_keys.capacity() * (sizeof(uint64_t) + 1);
    }
    return sizes;
}

uint64_t KeyDirectory::approximate_bytes(std::string_view begin, std::string_view end) const {
    uint64_t bytes = 0;
    std::optional<std::string> from{std::string(begin)};
    while (from.has_value()) {
        absl::ReaderMutexLock lock(&mutex_);
        from = map_.visit(
            *from, end, keys_per_lock, [&](std::string_view key, const Map::Version& version) {
                bytes += key.size() + version.payload->size + change_overhead_bytes;
            });
    }
    return bytes;
}

}  // namespace starling::storage::bitcask
