#include "storage/bitcask/maintenance.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/bitcask/data_file.h"
#include "storage/bitcask/file_names.h"
#include "storage/build_directory.h"
#include "storage/engine_marker.h"
#include "storage/key_ranges.h"

namespace starling::storage::bitcask {

namespace {

// Of a merge: how many files' worth of live data it moves at most.
constexpr uint64_t files_per_merge = 4;
// Removals that wait in memory together.
constexpr size_t removals_per_sync = 4096;

absl::Status closing() {
    return absl::CancelledError("the engine is closing");
}

}  // namespace

Maintenance::Maintenance(std::string directory,
                         const EngineOptions& options,
                         Parts parts,
                         FileList list)
    : directory_(std::move(directory)),
      options_(options),
      parts_(parts),
      list_(std::move(list)),
      scrub_(parts_.files, directory_, parts_.keys) {}

void Maintenance::schedule_if_due() {
    if (parts_.keys.is_stale(options_.bitcask_stale_bytes_max) && !stands_still()) {
        schedule();
    }
}

void Maintenance::schedule() {
    if (has_error() || gate_->shut() || under_way_.exchange(true)) {
        return;
    }
    parts_.workers.submit([gate = gate_, this]() noexcept {
        if (gate->enter()) {
            job();
            gate->leave();
        }
    });
}

void Maintenance::stop() {
    gate_->close();
}

void Maintenance::job() {
    bool again = false;
    absl::Status status;
    // compact() and checkpoint() do the same work.
    if (work_mutex_.TryLock()) {
        status = work(again);
        work_mutex_.Unlock();
    }
    under_way_.store(false);
    if (status.ok()) {
        disk_full_.store(false, std::memory_order_relaxed);
        if (again) {
            schedule();
        }
    } else if (absl::IsResourceExhausted(status)) {
        disk_full_.store(true, std::memory_order_relaxed);
    } else if (!absl::IsCancelled(status)) {
        set_error(status);
    }
}

absl::Status Maintenance::work(bool& again) {
    // What readers still held after the last merge; the next one may want its room.
    remove_unused_locked();
    const auto is_due = [this] {
        return !stands_still() && (parts_.keys.is_stale(options_.bitcask_stale_bytes_max) ||
                                   parts_.keys.is_scattered(options_.bitcask_file_bytes));
    };
    if (is_due() && parts_.keys.is_stale(options_.bitcask_stale_bytes_max) &&
        parts_.keys.active_is_stale()) {
        parts_.appender.roll();
    }
    STARLING_RETURN_IF_ERROR(complete_locked());
    if (!is_due()) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(const uint64_t free, room());
    const std::vector<ListedFile> inputs = parts_.keys.pick_merge(
        options_.bitcask_file_bytes, files_per_merge * options_.bitcask_file_bytes, free);
    if (inputs.empty()) {
        return absl::OkStatus();
    }
    const uint64_t stale_before = parts_.keys.sizes().stale_bytes;
    const size_t files_before = list_.files.size();
    if (absl::Status status = merge(inputs); !status.ok()) {
        return stands_still() && absl::IsDataLoss(status) ? absl::OkStatus() : status;
    }
    // One that got no further would be followed by the same for ever; the next write asks again.
    again = is_due() &&
            (parts_.keys.sizes().stale_bytes < stale_before || list_.files.size() < files_before);
    return absl::OkStatus();
}

absl::Status Maintenance::complete() {
    absl::MutexLock lock(&work_mutex_);
    return note(complete_locked());
}

// Once the log is durable up to the file in use, the ones before need no replay any more.
absl::Status Maintenance::complete_locked() {
    const KeyDirectory::FullFiles full = parts_.keys.full_files();
    if (full.files.empty()) {
        return absl::OkStatus();
    }
    // Makes the file in use, too, which the list will name.
    STARLING_RETURN_IF_ERROR(parts_.log.sync());
    for (const ListedFile& file : full.files) {
        HintBuilder hint(file.number);
        STARLING_RETURN_IF_ERROR(
            read_data_file(parts_.files, directory_, file, [&](const Change& change) {
                hint.add(change);
                return absl::OkStatus();
            }));
        write_hint(parts_.files, directory_, file.number, hint.finish(file.bytes));
    }
    FileList next = list_;
    next.files.insert(next.files.end(), full.files.begin(), full.files.end());
    next.log = {.number = full.next_number,
                .position = parts_.log.position_of(full.next_number),
                .flushed = full.flushed};
    STARLING_RETURN_IF_ERROR(commit(std::move(next)));
    parts_.keys.set_complete(full.files);
    parts_.log.forget_before(full.next_number);
    completed_.fetch_add(full.files.size(), std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status Maintenance::merge(const std::vector<ListedFile>& inputs) {
    MergeOptions options;
    options.directory = directory_;
    options.file_bytes_max = options_.bitcask_file_bytes;
    options.now = parts_.expiry_clock.now();
    options.next_file_number = [this] { return parts_.appender.next_file_number(); };
    options.should_stop = [this] { return gate_->shut(); };
    absl::StatusOr<Merged> made =
        merge_files(parts_.files, parts_.keys, inputs, std::move(options));
    if (absl::IsDataLoss(made.status())) {
        STARLING_MARK(bitcask_merge_met_damage);
        absl::MutexLock lock(&error_mutex_);
        damage_.Update(made.status());
    }
    STARLING_ASSIGN_OR_RETURN(const Merged merged, std::move(made));

    std::set<uint64_t> gone;
    for (const ListedFile& input : inputs) {
        gone.insert(input.number);
    }
    FileList next = list_;
    std::erase_if(next.files, [&](const ListedFile& file) { return gone.contains(file.number); });
    next.files.insert(next.files.end(), merged.files.begin(), merged.files.end());
    // What was left out because a newer change hides it must not come back with a crash that takes
    // that change.
    if (absl::Status status = parts_.log.sync(); !status.ok()) {
        remove_merged(merged);
        return status;
    }
    if (absl::Status status = commit(std::move(next)); !status.ok()) {
        for (const ListedFile& file : merged.files) {
            unsettled_.push_back(std::make_shared<const DataFile>(DataFile{.number = file.number}));
        }
        return status;
    }
    for (const ListedFile& file : merged.files) {
        parts_.keys.add_merged(file);
        merged_bytes_.fetch_add(file.bytes, std::memory_order_relaxed);
    }
    parts_.keys.relocate(merged.moves);
    parts_.keys.erase(merged.expired);
    std::vector<DataFilePtr> retired = parts_.keys.retire(gone);
    std::move(retired.begin(), retired.end(), std::back_inserter(retired_));
    merges_.fetch_add(1, std::memory_order_relaxed);
    remove_unused_locked();
    return absl::OkStatus();
}

void Maintenance::remove_merged(const Merged& merged) {
    for (const ListedFile& file : merged.files) {
        parts_.files.remove(data_path(directory_, file.number)).IgnoreError();
        parts_.files.remove(hint_path(directory_, file.number)).IgnoreError();
    }
}

absl::Status Maintenance::commit(FileList list) {
    std::sort(list.files.begin(), list.files.end(), [](const ListedFile& a, const ListedFile& b) {
        return a.number < b.number;
    });
    STARLING_RETURN_IF_ERROR(replace_file_list(parts_.files, directory_, list));
    list_ = std::move(list);
    std::move(unsettled_.begin(), unsettled_.end(), std::back_inserter(retired_));
    unsettled_.clear();
    return absl::OkStatus();
}

void Maintenance::remove_unused_files() {
    absl::MutexLock lock(&work_mutex_);
    remove_unused_locked();
}

// Nobody can take a file that only this list holds. What cannot be removed is for the next start.
void Maintenance::remove_unused_locked() {
    std::erase_if(retired_, [this](const DataFilePtr& file) {
        if (file.use_count() > 1) {
            return false;
        }
        parts_.values.forget(file->number);
        parts_.files.remove(data_path(directory_, file->number)).IgnoreError();
        parts_.files.remove(hint_path(directory_, file->number)).IgnoreError();
        return true;
    });
}

// What a merge may write.
absl::StatusOr<uint64_t> Maintenance::room() const {
    const auto free = parts_.files.free_bytes(directory_);
    // Whether there is room shows when writing.
    if (!free.ok()) {
        return UINT64_MAX;
    }
    if (*free <= options_.disk_reserve_bytes) {
        return base::make_error(absl::StatusCode::kResourceExhausted,
                                base::reason::disk_full,
                                fmt::format("{}: {} bytes are free, {} are kept for the log",
                                            directory_,
                                            *free,
                                            options_.disk_reserve_bytes));
    }
    return *free - options_.disk_reserve_bytes;
}

absl::Status Maintenance::compact() {
    absl::MutexLock lock(&work_mutex_);
    parts_.appender.roll();
    STARLING_RETURN_IF_ERROR(note(complete_locked()));
    STARLING_RETURN_IF_ERROR(damage());
    if (list_.files.empty()) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(const uint64_t free, room());
    const KeyDirectory::Sizes sizes = parts_.keys.sizes();
    if (sizes.file_bytes - sizes.stale_bytes > free) {
        return base::make_error(absl::StatusCode::kResourceExhausted,
                                base::reason::disk_full,
                                fmt::format("{}: compaction needs {} bytes, {} are free",
                                            directory_,
                                            sizes.file_bytes - sizes.stale_bytes,
                                            free));
    }
    absl::Status status = merge(std::vector<ListedFile>(list_.files));
    return stands_still() && absl::IsDataLoss(status) ? status : note(std::move(status));
}

absl::StatusOr<std::vector<KeyRange>> Maintenance::find_damage() {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    STARLING_ASSIGN_OR_RETURN(const std::vector<LostValue> lost, look_for_damage());
    std::vector<KeyRange> ranges;
    ranges.reserve(lost.size());
    for (const LostValue& value : lost) {
        ranges.push_back({.first = value.key, .last = value.key});
    }
    return united(std::move(ranges));
}

absl::StatusOr<ScrubStep> Maintenance::scrub(uint64_t bytes) {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::MutexLock one_at_a_time(&scrub_mutex_);
    auto step = scrub_.read_on(bytes, [this] { return gate_->shut_to_searches(); });
    if (absl::IsDataLoss(step.status())) {
        absl::MutexLock lock(&error_mutex_);
        scrubbed_damage_.Update(step.status());
    }
    return step;
}

absl::Status Maintenance::give_up(std::span<const KeyRange> ranges) {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    {
        // What is given up is not met again by a step that began before.
        absl::MutexLock no_scrub(&scrub_mutex_);
        absl::MutexLock one_at_a_time(&work_mutex_);
        STARLING_ASSIGN_OR_RETURN(const std::vector<LostValue> lost, look_for_damage());
        const std::vector<KeyRange> given = united({ranges.begin(), ranges.end()});
        for (const LostValue& value : lost) {
            if (!covers(given, {.first = value.key, .last = value.key})) {
                return value.error;
            }
        }
        STARLING_RETURN_IF_ERROR(note(remove(lost)));
        absl::MutexLock lock(&error_mutex_);
        damage_ = absl::OkStatus();
        scrubbed_damage_ = absl::OkStatus();
    }
    schedule();
    return absl::OkStatus();
}

absl::StatusOr<std::vector<LostValue>> Maintenance::look_for_damage() const {
    return find_lost_values(
        parts_.files, directory_, parts_.keys, [this] { return gate_->shut_to_searches(); });
}

// But for what has been written anew meanwhile.
absl::Status Maintenance::remove(const std::vector<LostValue>& lost) {
    size_t count = 0;
    for (const LostValue& value : lost) {
        WriteBatch batch;
        batch.remove(value.key);
        STARLING_ASSIGN_OR_RETURN(const std::vector<Change> changes,
                                  changes_of(batch.representation(), 0, 0, 0));
        parts_.appender.append(batch, changes, [&] {
            const auto found = parts_.keys.find(value.key, std::nullopt, 0);
            return found.has_value() && found->sequence == value.sequence;
        });
        if (++count % removals_per_sync == 0) {
            STARLING_RETURN_IF_ERROR(parts_.log.sync());
        }
    }
    return parts_.log.sync();
}

absl::Status Maintenance::checkpoint(const std::string& directory) {
    absl::MutexLock lock(&work_mutex_);
    STARLING_ASSIGN_OR_RETURN(const bool exists, parts_.files.exists(directory));
    if (exists) {
        return absl::AlreadyExistsError(fmt::format("{} exists", directory));
    }
    parts_.appender.roll();
    STARLING_RETURN_IF_ERROR(note(complete_locked()));
    const FileList list = list_;
    return build_directory(parts_.files, directory, [&](const std::string& partial) {
        return fill_checkpoint(partial, list);
    });
}

absl::Status Maintenance::fill_checkpoint(const std::string& directory,
                                          const FileList& list) const {
    for (const ListedFile& file : list.files) {
        STARLING_RETURN_IF_ERROR(parts_.files.link(data_path(directory_, file.number),
                                                   data_path(directory, file.number)));
        // A copy without hints only takes longer to open.
        parts_.files.link(hint_path(directory_, file.number), hint_path(directory, file.number))
            .IgnoreError();
    }
    STARLING_RETURN_IF_ERROR(parts_.files.sync_directory(directory));
    FileList copy = list;
    copy.log.number = 0;
    STARLING_RETURN_IF_ERROR(replace_file_list(parts_.files, directory, copy));
    return write_engine_marker(parts_.files, directory, "bitcask");
}

// An error of files that belong to the engine is final, but for a full disk.
absl::Status Maintenance::note(absl::Status status) {
    if (!status.ok() && !absl::IsResourceExhausted(status) && !absl::IsCancelled(status)) {
        set_error(status);
    }
    return status;
}

absl::Status Maintenance::damage() const {
    absl::MutexLock lock(&error_mutex_);
    return damage_.ok() ? scrubbed_damage_ : damage_;
}

bool Maintenance::stands_still() const {
    absl::MutexLock lock(&error_mutex_);
    return !damage_.ok();
}

absl::Status Maintenance::error() const {
    absl::MutexLock lock(&error_mutex_);
    return error_;
}

void Maintenance::set_error(const absl::Status& status) {
    absl::MutexLock lock(&error_mutex_);
    if (error_.ok()) {
        error_ = status;
        has_error_.store(true, std::memory_order_release);
    }
}

}  // namespace starling::storage::bitcask
