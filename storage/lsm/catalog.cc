#include "storage/lsm/catalog.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

// A manifest is begun anew when it is longer than this and twice what it began with; a description
// of 500 tables takes about 50 KiB.
constexpr uint64_t manifest_bytes_long = 4u << 20;

}  // namespace

Catalog::Catalog(env::FileSystem& files, std::string directory)
    : files_(files),
      directory_(std::move(directory)),
      manifest_(files, directory_),
      version_(std::make_shared<Version>()) {}

absl::Status Catalog::begin(const ManifestState& state) {
    begin_read_only(state);
    absl::MutexLock lock(&commit_mutex_);
    return settle_locked();
}

void Catalog::begin_read_only(const ManifestState& state) {
    absl::MutexLock lock(&commit_mutex_);
    next_file_number_.store(state.next_file_number);
    log_ = state.log;
    versions_.push_back(state.version);
    absl::MutexLock version_lock(&version_mutex_);
    version_ = state.version;
}

std::shared_ptr<const Version> Catalog::version() const {
    absl::MutexLock lock(&version_mutex_);
    return version_;
}

uint64_t Catalog::manifest_bytes() const {
    return manifest_bytes_.load(std::memory_order_relaxed);
}

absl::Status Catalog::settle() {
    absl::MutexLock lock(&commit_mutex_);
    return settle_locked();
}

absl::Status Catalog::settle_locked() {
    if (manifest_.usable() &&
        manifest_.file_bytes() <= manifest_bytes_long + 2 * manifest_bytes_first_) {
        return absl::OkStatus();
    }
    const uint64_t number = next_file_number();
    if (manifest_.number() != 0) {
        STARLING_MARK(manifest_begun_anew);
        retired_.push_back(manifest_path(directory_, manifest_.number()));
    }
    VersionEdit whole;
    version()->describe(whole);
    whole.log = log_;
    whole.next_file_number = next_file_number_.load();
    STARLING_RETURN_IF_ERROR(manifest_.begin(number, whole));
    manifest_bytes_first_ = manifest_.file_bytes();
    manifest_bytes_.store(manifest_.file_bytes(), std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status Catalog::commit(VersionEdit edit) {
    absl::MutexLock lock(&commit_mutex_);
    STARLING_RETURN_IF_ERROR(settle_locked());
    const auto next = version()->apply(edit);
    STARLING_RETURN_IF_ERROR(next.status());
    edit.next_file_number = next_file_number_.load();
    STARLING_RETURN_IF_ERROR(manifest_.append(edit));
    manifest_bytes_.store(manifest_.file_bytes(), std::memory_order_relaxed);
    log_ = edit.log.value_or(log_);
    for (const VersionEdit::Removed& removed : edit.removed) {
        if (!(*next)->names_file(FileKind::table, removed.number)) {
            removed_files_.push_back({.kind = FileKind::table, .number = removed.number});
        }
    }
    for (const Version::ValueFile& file : version()->value_files()) {
        if (!(*next)->names_file(FileKind::value_file, file.number)) {
            removed_files_.push_back({.kind = FileKind::value_file, .number = file.number});
        }
    }
    versions_.push_back(*next);
    absl::MutexLock version_lock(&version_mutex_);
    version_ = *next;
    return absl::OkStatus();
}

CatalogState Catalog::state() {
    absl::MutexLock lock(&commit_mutex_);
    return {.version = version(), .log = log_, .next_file_number = next_file_number()};
}

void Catalog::retire(std::string path) {
    absl::MutexLock lock(&commit_mutex_);
    retired_.push_back(std::move(path));
}

void Catalog::retire_log(uint64_t number) {
    absl::MutexLock lock(&commit_mutex_);
    retired_logs_.push_back({.kind = FileKind::log, .number = number});
}

std::vector<FileName> Catalog::take_unused() {
    std::vector<std::shared_ptr<const Version>> alive;
    for (const auto& version : versions_) {
        if (auto held = version.lock()) {
            alive.push_back(std::move(held));
        }
    }
    std::erase_if(versions_, [](const auto& version) { return version.expired(); });
    std::vector<FileName> unused;
    std::erase_if(removed_files_, [&](const FileName& file) {
        const bool named = std::any_of(alive.begin(), alive.end(), [&](const auto& version) {
            return version->names_file(file.kind, file.number);
        });
        if (named) {
            STARLING_MARK(removed_file_still_read);
        } else {
            unused.push_back(file);
        }
        return !named;
    });
    return unused;
}

bool Catalog::may_have_unused_files() {
    absl::MutexLock lock(&commit_mutex_);
    return !removed_files_.empty() || !retired_.empty() || !retired_logs_.empty();
}

std::vector<FileName> Catalog::remove_unused_files() {
    absl::MutexLock lock(&commit_mutex_);
    if (!manifest_.usable() || file_holds_ > 0) {
        STARLING_MARK(unused_files_stay_for_now);
        return {};
    }
    std::vector<FileName> unused = take_unused();
    std::vector<std::string> paths = std::exchange(retired_, {});
    for (const FileName& file : unused) {
        paths.push_back(file.kind == FileKind::table ? table_path(directory_, file.number)
                                                     : value_file_path(directory_, file.number));
    }
    for (std::string& path : paths) {
        const absl::Status status = files_.remove(path);
        if (!status.ok() && !absl::IsNotFound(status)) {
            STARLING_MARK(unused_file_not_removed);
            retired_.push_back(std::move(path));
        }
    }
    unused.insert(unused.end(), retired_logs_.begin(), retired_logs_.end());
    retired_logs_.clear();
    return unused;
}

}  // namespace starling::storage::lsm
