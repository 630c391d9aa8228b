#include "storage/log/log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"

namespace starling::storage {

namespace {

// A buffer that once held a huge batch is not kept.
constexpr size_t spare_bytes_max = 4u << 20;
// One for the next roll, and one for the flush that ends meanwhile.
constexpr size_t spare_files_max = 2;
// A file that one huge batch made this much larger than others is not kept.
constexpr uint64_t spare_growth_max = 2;
// Zeros ahead: a sixteenth of a file. Written with one sync in some thousands, they cost little.
constexpr uint64_t fill_divisor = 16;
constexpr uint64_t fill_bytes_min = 4u << 10;
constexpr uint64_t fill_bytes_max = 1u << 20;
// About as long as a sync takes, and enough to wake some dozens of threads.
constexpr uint32_t gather_microseconds_max = 200;

}  // namespace

Log::Log(Options options, env::FileSystem& files)
    : directory_(std::move(options.directory)),
      file_bytes_expected_(options.file_bytes_expected),
      recycle_(options.recycle),
      joined_bytes_max_(options.joined_bytes_max),
      naming_(options.naming),
      files_(files),
      end_(options.position),
      durable_(options.position) {
    roll(options.number);
}

void Log::append(uint64_t first, std::string_view batch) {
    absl::MutexLock lock(&mutex_);
    Segment& segment = segments_.back();
    const size_t size_before = segment.records.size();
    const LogPosition durable = durable_.load(std::memory_order_relaxed);
    if (segment.last_record.has_value() && size_before + batch.size() <= *segment.last_record +
                                                                             record_header_bytes +
                                                                             joined_bytes_max_) {
        extend_record(segment.records, *segment.last_record, durable, batch);
    } else {
        append_record(segment.records, first, durable, batch);
        segment.last_record = size_before;
    }
    const size_t size = segment.records.size() - size_before;
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
    for (LogPosition target = 0;;) {
        Round round = 0;
        auto part = SyncRounds::Part::follower;
        {
            absl::MutexLock lock(&mutex_);
            // A second turn is for what the first one asked.
            target = target == 0 ? end_ : target;
            if (!error_.ok() || durable_.load(std::memory_order_relaxed) >= target) {
                return error_;
            }
            round = rounds_.forming();
            part = rounds_.join();
        }
        bool leads = part == SyncRounds::Part::leader;
        if (!leads) {
            const bool called = part == SyncRounds::Part::called || wait_for(round);
            leads = called && gather(round);
        }
        if (leads) {
            return lead_round(round);
        }
        if (durable_.load(std::memory_order_acquire) >= target) {
            return absl::OkStatus();
        }
        // The round failed. An error that is not final is every caller's own to meet.
    }
}

// Until the round is done; true: until its caller is called to lead it.
bool Log::wait_for(Round round) {
    WaitWord& word = round_words_[round % 2];
    for (;;) {
        uint32_t seen = word.load();
        // The next round with this last bit begins only when this one is done.
        if (seen / 4 != round % (1u << 30) || seen % 4 == static_cast<uint32_t>(RoundState::done)) {
            return false;
        }
        if (seen % 4 == static_cast<uint32_t>(RoundState::wants_leader)) {
            if (word.replace(seen, word_of(round, RoundState::pending))) {
                return true;
            }
            continue;
        }
        word.wait(seen);
    }
}

// False: another one has led the round, and it is done.
bool Log::gather(Round round) {
    uint32_t absent = 0;
    {
        absl::MutexLock lock(&mutex_);
        absent = rounds_.gather();
    }
    if (absent == 0) {
        return true;
    }
    round_words_[round % 2].wait_at_most(word_of(round, RoundState::pending),
                                         gather_microseconds_max);
    {
        absl::MutexLock lock(&mutex_);
        if (rounds_.end_gather(round)) {
            return true;
        }
    }
    return wait_for(round);
}

void Log::show(Round round, RoundState state) {
    round_words_[round % 2].store(word_of(round, state));
}

absl::Status Log::lead_round(Round round) {
    LogPosition durable = 0;
    absl::Status status = write_out_and_sync(durable);
    SyncRounds::End end;
    {
        absl::MutexLock lock(&mutex_);
        if (status.ok()) {
            durable_.store(std::max(durable_.load(std::memory_order_relaxed), durable),
                           std::memory_order_release);
        }
        if (rounds_.forming() == round) {
            // It failed before everything was written.
            close_round();
        }
        end = rounds_.end();
        if (end.calls_leader) {
            show(round + 1, RoundState::wants_leader);
        }
        show(round, RoundState::done);
    }
    if (end.calls_leader) {
        round_words_[(round + 1) % 2].wake_one();
    }
    if (end.has_sleepers) {
        round_words_[round % 2].wake_all();
    }
    return status;
}

void Log::close_round() {
    rounds_.close();
    show(rounds_.forming(), RoundState::pending);
}

absl::Status Log::write_out_and_sync(LogPosition& durable) {
    absl::MutexLock lock(&file_mutex_);
    closes_round_ = true;
    absl::Status status = write_out();
    closes_round_ = false;
    STARLING_RETURN_IF_ERROR(status);
    durable = position_of(file_number_) + file_end_;
    fill_ahead();
    return sync_files();
}

absl::Status Log::write_out() {
    STARLING_RETURN_IF_ERROR(error());
    Segment part;
    while (take(part)) {
        if (absl::Status status = write_segment(part); !status.ok()) {
            STARLING_MARK(log_write_failed);
            put_back(std::move(part), status);
            if (absl::IsResourceExhausted(status) && remove_spares()) {
                STARLING_MARK(log_spares_make_room);
                continue;
            }
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
            if (closes_round_) {
                close_round();
            }
            return false;
        }
        segments_.pop_front();
    }
    part.number = segments_.front().number;
    part.records = std::exchange(segments_.front().records, std::exchange(spare_, {}));
    segments_.front().last_record.reset();
    return true;
}

void Log::put_back(Segment part, const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    Segment& front = segments_.front();
    STARLING_CHECK(front.number == part.number);
    if (front.last_record.has_value()) {
        *front.last_record += part.records.size();
    }
    part.records.append(front.records);
    front.records = std::move(part.records);
    if (absl::IsResourceExhausted(status)) {
        STARLING_MARK(log_disk_full);
        disk_full_.store(true, std::memory_order_relaxed);
    } else if (error_.ok()) {
        STARLING_MARK(log_write_error_is_final);
        error_ = status;
    }
}

absl::Status Log::write_segment(Segment& part) {
    if (part.number != file_number_) {
        STARLING_RETURN_IF_ERROR(open_file(part.number));
    }
    if (tail_unknown_) {
        STARLING_MARK(log_tail_cut_after_failed_write);
        STARLING_RETURN_IF_ERROR(reopen_file());
    }
    const size_t record_bytes = part.records.size();
    uint64_t offset = file_end_;
    // Set for the time of the write, so that every way out but the last leaves the mark.
    tail_unknown_ = true;
    if (offset == 0) {
        const LogPosition base = position_of(part.number);
        STARLING_RETURN_IF_ERROR(
            file_->append(encode_record_file_header(naming_.kind, part.number, base)));
        offset = record_file_header_bytes;
    }
    seal_records(part.records.data(), part.records.data() + record_bytes, part.number, offset);
    STARLING_RETURN_IF_ERROR(file_->append(part.records));
    STARLING_RETURN_IF_ERROR(file_->flush());
    tail_unknown_ = false;
    file_end_ = offset + record_bytes;
    part.records.clear();
    buffered_bytes_.fetch_sub(record_bytes, std::memory_order_relaxed);
    written_bytes_.fetch_add(record_bytes, std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status Log::open_file(uint64_t number) {
    uint64_t filled = 0;
    STARLING_ASSIGN_OR_RETURN(auto file, new_file(number, filled));
    if (file_ != nullptr) {
        full_files_.push_back({.number = file_number_, .file = std::move(file_)});
        // Writing a file over only makes syncs cheaper.
        if (recycle_ && file_synced_) {
            absl::MutexLock lock(&mutex_);
            finished_.push_back(
                {.number = file_number_, .bytes = std::max(file_end_, file_filled_)});
        }
    }
    file_ = std::move(file);
    file_number_ = number;
    file_end_ = 0;
    file_synced_ = false;
    file_filled_ = filled;
    tail_unknown_ = false;
    directory_changed_ = true;
    return absl::OkStatus();
}

// `bytes`: how long it is already.
absl::StatusOr<std::unique_ptr<env::WritableFile>> Log::new_file(uint64_t number, uint64_t& bytes) {
    const std::string path = naming_.path(directory_, number);
    FinishedFile spare{};
    {
        absl::MutexLock lock(&mutex_);
        if (!spares_.empty()) {
            spare = spares_.back();
            spares_.pop_back();
        }
    }
    if (spare.number != 0) {
        STARLING_MARK(log_recycled);
        bytes = spare.bytes;
        auto recycled = files_.recycle(naming_.path(directory_, spare.number), path);
        if (!recycled.ok()) {
            STARLING_MARK(log_recycling_failed);
            // Its file may still be there under its old name, and takes room until it is removed.
            absl::MutexLock lock(&mutex_);
            spares_.push_back(spare);
        }
        return recycled;
    }
    bytes = 0;
    STARLING_ASSIGN_OR_RETURN(auto file, files_.create(path));
    // Only a hint: a disk that is nearly full has room for less.
    if (file_bytes_expected_ > 0) {
        file->preallocate(file_bytes_expected_).IgnoreError();
    }
    return file;
}

// Only a hint, too: what fails here fails again where it matters.
void Log::fill_ahead() {
    if (recycle_ && file_end_ > file_filled_) {
        file_filled_ =
            file_end_ +
            std::clamp(file_bytes_expected_ / fill_divisor, fill_bytes_min, fill_bytes_max);
        file_->fill_ahead(file_filled_).IgnoreError();
    }
}

absl::Status Log::reopen_file() {
    const std::string path = naming_.path(directory_, file_number_);
    // The old handle may still hold bytes of the failed write: it must be gone before the file is
    // cut.
    file_.reset();
    STARLING_RETURN_IF_ERROR(files_.truncate(path, file_end_));
    STARLING_ASSIGN_OR_RETURN(file_, files_.open_for_append(path));
    file_filled_ = file_end_;
    tail_unknown_ = false;
    return absl::OkStatus();
}

absl::Status Log::sync_directory_if_new() {
    if (!directory_changed_ || STARLING_PLANTED(missing_directory_sync)) {
        return absl::OkStatus();
    }
    if (absl::Status status = files_.sync_directory(directory_); !status.ok()) {
        STARLING_MARK(log_directory_sync_failed);
        return fail(std::move(status));
    }
    directory_changed_ = false;
    return absl::OkStatus();
}

absl::Status Log::sync_files() {
    STARLING_RETURN_IF_ERROR(sync_directory_if_new());
    if (!full_files_.empty()) {
        STARLING_MARK(log_sync_over_two_files);
    }
    for (const FullFile& full : full_files_) {
        if (absl::Status status = full.file->sync(); !status.ok()) {
            STARLING_MARK(log_sync_of_full_file_failed);
            return fail(std::move(status));
        }
    }
    full_files_.clear();
    sync_count_.fetch_add(1, std::memory_order_relaxed);
    file_synced_ = true;
    if (absl::Status status = file_->sync();
        !status.ok() && !STARLING_PLANTED(fsync_error_swallowed)) {
        STARLING_MARK(log_sync_failed);
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

bool Log::keep_as_spare(uint64_t number) {
    absl::MutexLock lock(&mutex_);
    const auto found =
        std::find_if(finished_.begin(), finished_.end(), [&](const FinishedFile& file) {
            return file.number == number;
        });
    if (found == finished_.end()) {
        STARLING_MARK(log_file_not_fit_for_recycling);
        return false;
    }
    const FinishedFile file = *found;
    finished_.erase(found);
    const uint64_t bytes_max = std::max(file_bytes_expected_ * spare_growth_max, fill_bytes_max);
    const bool keep = recycle_ && error_.ok() && !disk_full() && file.bytes <= bytes_max &&
                      spares_.size() < spare_files_max;
    if (keep) {
        spares_.push_back(file);
    }
    return keep;
}

bool Log::remove_spares() {
    std::vector<FinishedFile> spares;
    {
        absl::MutexLock lock(&mutex_);
        spares = std::exchange(spares_, {});
    }
    for (const FinishedFile& spare : spares) {
        // What cannot be removed now goes at the next start.
        files_.remove(naming_.path(directory_, spare.number)).IgnoreError();
    }
    return !spares.empty();
}

void Log::close() {
    absl::MutexLock lock(&file_mutex_);
    // A writer that is late finds the log closed, not a file that is gone.
    fail(absl::FailedPreconditionError("the log is closed")).IgnoreError();
    full_files_.clear();
    file_.reset();
    // The next start would use none of them.
    remove_spares();
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
    return durable_.load(std::memory_order_acquire);
}

uint64_t Log::spare_bytes() const {
    absl::MutexLock lock(&mutex_);
    uint64_t bytes = 0;
    for (const FinishedFile& spare : spares_) {
        bytes += spare.bytes;
    }
    return bytes;
}

uint64_t Log::size() const {
    absl::MutexLock lock(&mutex_);
    return end_ - begins_.front().position;
}

absl::Status Log::fail(absl::Status status) {
    // A full disk that shows only in a sync is a failed sync: nothing is known of what was written,
    // and space that returns heals nothing.
    if (absl::IsResourceExhausted(status)) {
        status = absl::UnavailableError(status.message());
    }
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

}  // namespace starling::storage
