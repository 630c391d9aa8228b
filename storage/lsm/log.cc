#include "storage/lsm/log.h"

#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

// A buffer that once held a huge batch is not kept.
constexpr size_t spare_bytes_max = 4u << 20;

}  // namespace

Log::Log(Options options, env::FileSystem& files)
    : directory_(std::move(options.directory)),
      file_bytes_expected_(options.file_bytes_expected),
      kind_(options.kind),
      path_(options.path),
      files_(files),
      end_(options.position),
      durable_(options.position) {
    roll(options.number);
}

void Log::append(uint64_t first, std::string_view batch) {
    const size_t size = record_header_bytes + batch.size();
    absl::MutexLock lock(&mutex_);
    append_record(segments_.back().records, first, durable_, batch);
    end_ += size;
    buffered_bytes_.fetch_add(size, std::memory_order_relaxed);
}

void Log::roll(uint64_t number) {
    absl::MutexLock lock(&mutex_);
    STARLING_CHECK(begins_.empty() || begins_.back().number < number);
    begins_.push_back({.number = number, .position = end_});
    segments_.push_back({.number = number, .records = std::exchange(spare_, {})});
    end_ += record_file_header_bytes;
}

absl::Status Log::write_out_if_idle() {
    if (!file_mutex_.TryLock()) {
        return absl::OkStatus();
    }
    absl::Status status = write_out();
    file_mutex_.Unlock();
    return status;
}

absl::Status Log::make_files() {
    absl::MutexLock lock(&file_mutex_);
    STARLING_RETURN_IF_ERROR(write_out());
    return sync_directory_if_new();
}

absl::Status Log::sync() {
    LogPosition target = 0;
    {
        absl::MutexLock lock(&mutex_);
        target = end_;
        while (error_.ok() && durable_ < target && syncing_) {
            sync_ended_.Wait(&mutex_);
        }
        if (!error_.ok() || durable_ >= target) {
            return error_;
        }
        syncing_ = true;
    }
    LogPosition durable = 0;
    absl::Status status = write_out_and_sync(durable);
    absl::MutexLock lock(&mutex_);
    syncing_ = false;
    if (status.ok()) {
        durable_ = std::max(durable_, durable);
    }
    sync_ended_.SignalAll();
    return status;
}

absl::Status Log::write_out_and_sync(LogPosition& durable) {
    absl::MutexLock lock(&file_mutex_);
    STARLING_RETURN_IF_ERROR(write_out());
    durable = position_of(file_number_) + file_end_;
    return sync_files();
}

absl::Status Log::write_out() {
    STARLING_RETURN_IF_ERROR(error());
    Segment part;
    while (take(part)) {
        if (absl::Status status = write_segment(part); !status.ok()) {
            put_back(std::move(part), status);
            return status;
        }
        disk_full_.store(false, std::memory_order_relaxed);
    }
    return absl::OkStatus();
}

// The oldest segment, but not an empty one whose file stands complete.
bool Log::take(Segment& part) {
    absl::MutexLock lock(&mutex_);
    if (part.records.capacity() > spare_.capacity() && part.records.capacity() <= spare_bytes_max) {
        spare_ = std::exchange(part.records, {});
        spare_.clear();
    }
    const bool file_complete = file_end_ > 0 && !tail_unknown_;
    while (segments_.front().records.empty() && segments_.front().number == file_number_ &&
           file_complete) {
        if (segments_.size() == 1) {
            return false;
        }
        segments_.pop_front();
    }
    part.number = segments_.front().number;
    part.records = std::exchange(segments_.front().records, std::exchange(spare_, {}));
    return true;
}

void Log::put_back(Segment part, const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    Segment& front = segments_.front();
    STARLING_CHECK(front.number == part.number);
    part.records.append(front.records);
    front.records = std::move(part.records);
    if (absl::IsResourceExhausted(status)) {
        disk_full_.store(true, std::memory_order_relaxed);
    } else if (error_.ok()) {
        error_ = status;
    }
}

absl::Status Log::write_segment(Segment& part) {
    if (part.number != file_number_) {
        STARLING_RETURN_IF_ERROR(open_file(part.number));
    }
    if (tail_unknown_) {
        STARLING_RETURN_IF_ERROR(reopen_file());
    }
    const size_t record_bytes = part.records.size();
    uint64_t offset = file_end_;
    // Set for the time of the write, so that every way out but the last leaves the mark.
    tail_unknown_ = true;
    if (offset == 0) {
        const LogPosition base = position_of(part.number);
        STARLING_RETURN_IF_ERROR(
            file_->append(encode_record_file_header(kind_, part.number, base)));
        offset = record_file_header_bytes;
    }
    seal_records(part.records.data(), part.records.data() + record_bytes, part.number, offset);
    STARLING_RETURN_IF_ERROR(file_->append(part.records));
    STARLING_RETURN_IF_ERROR(file_->flush());
    tail_unknown_ = false;
    file_end_ = offset + record_bytes;
    part.records.clear();
    buffered_bytes_.fetch_sub(record_bytes, std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status Log::open_file(uint64_t number) {
    STARLING_ASSIGN_OR_RETURN(auto file, files_.create(path_(directory_, number)));
    // Only a hint: a disk that is nearly full has room for less.
    if (file_bytes_expected_ > 0) {
        file->preallocate(file_bytes_expected_).IgnoreError();
    }
    if (file_ != nullptr) {
        full_files_.push_back({.number = file_number_, .file = std::move(file_)});
    }
    file_ = std::move(file);
    file_number_ = number;
    file_end_ = 0;
    tail_unknown_ = false;
    directory_changed_ = true;
    return absl::OkStatus();
}

absl::Status Log::reopen_file() {
    const std::string path = path_(directory_, file_number_);
    // The old handle may still hold bytes of the failed write: it must be gone before the file is
    // cut.
    file_.reset();
    STARLING_RETURN_IF_ERROR(files_.truncate(path, file_end_));
    STARLING_ASSIGN_OR_RETURN(file_, files_.open_for_append(path));
    tail_unknown_ = false;
    return absl::OkStatus();
}

absl::Status Log::sync_directory_if_new() {
    if (!directory_changed_ || STARLING_PLANTED(missing_directory_sync)) {
        return absl::OkStatus();
    }
    if (absl::Status status = files_.sync_directory(directory_); !status.ok()) {
        return fail(std::move(status));
    }
    directory_changed_ = false;
    return absl::OkStatus();
}

absl::Status Log::sync_files() {
    STARLING_RETURN_IF_ERROR(sync_directory_if_new());
    for (const FullFile& full : full_files_) {
        if (absl::Status status = full.file->sync(); !status.ok()) {
            return fail(std::move(status));
        }
    }
    full_files_.clear();
    sync_count_.fetch_add(1, std::memory_order_relaxed);
    if (absl::Status status = file_->sync();
        !status.ok() && !STARLING_PLANTED(fsync_error_swallowed)) {
        return fail(std::move(status));
    }
    return absl::OkStatus();
}

void Log::forget_before(uint64_t number) {
    absl::MutexLock file_lock(&file_mutex_);
    std::erase_if(full_files_, [&](const FullFile& full) { return full.number < number; });
    absl::MutexLock lock(&mutex_);
    while (begins_.size() > 1 && begins_.front().number < number) {
        begins_.pop_front();
    }
}

void Log::close() {
    absl::MutexLock lock(&file_mutex_);
    // A writer that is late finds the log closed, not a file that is gone.
    fail(absl::FailedPreconditionError("the log is closed")).IgnoreError();
    full_files_.clear();
    file_.reset();
}

LogPosition Log::position_of(uint64_t number) const {
    absl::MutexLock lock(&mutex_);
    for (const Begin& begin : begins_) {
        if (begin.number == number) {
            return begin.position;
        }
    }
    STARLING_CHECK_MSG(false, "a log file that was never begun");
    return 0;
}

LogPosition Log::durable_position() const {
    absl::MutexLock lock(&mutex_);
    return durable_;
}

uint64_t Log::size() const {
    absl::MutexLock lock(&mutex_);
    return end_ - begins_.front().position;
}

absl::Status Log::fail(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    if (error_.ok()) {
        error_ = status;
    }
    return status;
}

absl::Status Log::error() const {
    absl::MutexLock lock(&mutex_);
    return error_;
}

}  // namespace starling::storage::lsm
