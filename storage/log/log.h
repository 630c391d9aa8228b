#pragma once

// The write-ahead log: batches in the order of their sequences, in one file per memtable. A batch
// is first copied into memory (append), then written out, then synced.
//
// sync() calls that overlap share one fdatasync, in rounds (sync_rounds.h): one caller of a round
// leads it, the others sleep. What is appended while a round's fdatasync runs belongs to the next
// round, whose leader is woken before those that are done, since the disk is what must not wait.
// Each round wakes its own callers at once, by one system call and without a lock to queue for.
//
// A sync that finds no new metadata costs half: files that are done with, and were synced while
// they were written, are kept and written over, and a file that grows is filled with zeros ahead of
// what is synced. What stays behind the end is no record (record_file.h).
//
// 1. Files are synced in their order, and a file's directory entry before anything in it counts as
// durable:
//    what is durable is a prefix of what was appended.
// 2. A file that could not be written because the disk is full is cut back to its last whole write
// and
//    continued later with the same bytes; nothing that was appended is dropped.
// 3. Any other failed write, and any failed sync, is final: the log refuses everything from then
// on.
//
// Thread-safe. append() and roll() never touch a file.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

#include "env/file_system.h"
#include "storage/log/log_start.h"
#include "storage/log/record_file.h"
#include "storage/log/sync_rounds.h"
#include "storage/log/wait_word.h"

namespace starling::storage {

// What may wait for its file while that is written or synced: a sixteenth of what an engine may
// keep in memory.
constexpr uint64_t log_buffer_bytes_max(uint64_t memory_bytes_max) {
    return std::clamp<uint64_t>(memory_bytes_max / 16, 1u << 20, 16u << 20);
}

class Log {
  public:
    struct Options {
        std::string directory;
        // Disk reserved for each file when it is made.
        uint64_t file_bytes_expected = 0;
        // The first file, and the position it begins at.
        uint64_t number = 0;
        LogPosition position = 0;
        // Keeps files for reuse, and fills new ones ahead.
        bool recycle = false;
        // A batch joins the record before it while that is in memory and smaller than this: what is
        // not synced one by one need not be read one by one. 0: each is a record.
        size_t joined_bytes_max = 0;
        LogNaming naming;
    };

    Log(Options options, env::FileSystem& files);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    // Adds a batch whose first change has sequence `first`.
    void append(uint64_t first, std::string_view batch);
    // What is appended from now on goes to file `number`, greater than all before.
    void roll(uint64_t number);

    // Hands what was appended to the operating system; does nothing while another thread writes or
    // syncs.
    absl::Status write_out_if_idle();
    // Makes what was appended before durable. resource_exhausted: the disk is full, try again
    // later.
    absl::Status sync();
    // Makes the files that roll() began, and their directory entries durable.
    absl::Status make_files();
    // What the files before `number` hold is durable elsewhere: they need no sync any more.
    void forget_before(uint64_t number);
    // File `number`, which is forgotten and which nobody reads any more, is kept to be written over
    // under another name. False: it is not, and the caller removes it.
    bool keep_as_spare(uint64_t number);
    // Gives back the disk that spares take; false: there were none.
    bool remove_spares();
    void close();

    // Where file `number` begins. REQUIRES: it was begun and not forgotten.
    LogPosition position_of(uint64_t number) const;
    // Everything before is durable.
    LogPosition durable_position() const;
    // The bytes of all files that are not forgotten.
    uint64_t size() const;
    uint64_t spare_bytes() const;
    // Of all writes since it was made.
    uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }
    // Not yet handed to the operating system.
    uint64_t buffered_bytes() const { return buffered_bytes_.load(std::memory_order_relaxed); }
    // The last write met a full disk.
    bool disk_full() const { return disk_full_.load(std::memory_order_relaxed); }
    uint64_t sync_count() const { return sync_count_.load(std::memory_order_relaxed); }

  private:
    // Records for one file that are not written out.
    struct Segment {
        uint64_t number = 0;
        std::string records;
        // Where the last record begins that none was asked to write yet.
        std::optional<size_t> last_record = std::nullopt;
    };
    struct Begin {
        uint64_t number;
        LogPosition position;
    };
    struct FinishedFile {
        uint64_t number;
        uint64_t bytes;
    };
    using Round = SyncRounds::Round;
    enum class RoundState : uint32_t { pending = 0, wants_leader = 1, done = 2 };

    absl::Status write_out() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    bool take(Segment& part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    void close_round() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    static uint32_t word_of(Round round, RoundState state) {
        return round * 4 + static_cast<uint32_t>(state);
    }
    void show(Round round, RoundState state);
    bool wait_for(Round round);
    bool gather(Round round);
    absl::Status lead_round(Round round);
    void put_back(Segment part, const absl::Status& status)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status write_segment(Segment& part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status open_file(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::StatusOr<std::unique_ptr<env::WritableFile>> new_file(uint64_t number, uint64_t& bytes)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    void fill_ahead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status reopen_file() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status sync_directory_if_new() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status sync_files() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mutex_);
    absl::Status write_out_and_sync(LogPosition& durable);
    absl::Status fail(absl::Status status);
    absl::Status error() const;

    // Constant after construction.
    const std::string directory_;
    const uint64_t file_bytes_expected_;
    const bool recycle_;
    const size_t joined_bytes_max_;
    const LogNaming naming_;
    env::FileSystem& files_;

    std::atomic<uint64_t> buffered_bytes_ = 0;
    std::atomic<bool> disk_full_ = false;
    std::atomic<uint64_t> sync_count_ = 0;
    std::atomic<uint64_t> written_bytes_ = 0;
    // Of the two newest rounds, by their last bit: round * 4 + state. Sleepers wait for a change.
    WaitWord round_words_[2];

    // Held during file operations; taken before mutex_.
    absl::Mutex file_mutex_;
    std::unique_ptr<env::WritableFile> file_ ABSL_GUARDED_BY(file_mutex_);
    uint64_t file_number_ ABSL_GUARDED_BY(file_mutex_) = 0;
    // The end of the last whole write; 0: not even the file header is there.
    uint64_t file_end_ ABSL_GUARDED_BY(file_mutex_) = 0;
    // Up to here the file is at least as long: old bytes, or zeros.
    uint64_t file_filled_ ABSL_GUARDED_BY(file_mutex_) = 0;
    bool file_synced_ ABSL_GUARDED_BY(file_mutex_) = false;
    // The leader of a round writes out, and closes it when everything is written.
    bool closes_round_ ABSL_GUARDED_BY(file_mutex_) = false;
    // A failed write left an unknown tail.
    bool tail_unknown_ ABSL_GUARDED_BY(file_mutex_) = false;
    bool directory_changed_ ABSL_GUARDED_BY(file_mutex_) = false;
    // Complete files with unsynced bytes, oldest first.
    struct FullFile {
        uint64_t number;
        std::unique_ptr<env::WritableFile> file;
    };
    std::vector<FullFile> full_files_ ABSL_GUARDED_BY(file_mutex_);

    mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(file_mutex_);
    std::deque<Segment> segments_ ABSL_GUARDED_BY(mutex_);
    // A spare buffer, so that steady writing allocates nothing.
    std::string spare_ ABSL_GUARDED_BY(mutex_);
    std::deque<Begin> begins_ ABSL_GUARDED_BY(mutex_);
    LogPosition end_ ABSL_GUARDED_BY(mutex_);
    // Written under mutex_.
    std::atomic<LogPosition> durable_;
    SyncRounds rounds_ ABSL_GUARDED_BY(mutex_);
    // Complete, and not yet given up by those who read them.
    std::vector<FinishedFile> finished_ ABSL_GUARDED_BY(mutex_);
    std::vector<FinishedFile> spares_ ABSL_GUARDED_BY(mutex_);
    absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::storage
