#pragma once

// Open files and locks of a simulated file system, and the machine they belong to.
//
// A handle lives in the epoch in which it was opened; a crash begins the next epoch, and the
// handles of the one before fail every operation from then on, change nothing and hold nothing.
// Handles must be destroyed before their file system. Not thread-safe.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "env/file_system.h"
#include "env/sim/file_faults.h"
#include "env/sim/file_tree.h"

namespace starling::env {

// What all handles of one file system share.
class FileMachine {
  public:
    FileMachine(uint64_t capacity, size_t append_buffer_bytes)
        : append_buffer_bytes_(append_buffer_bytes), capacity_(capacity) {}

    // Counts an operation of a process of `epoch`; what comes of it.
    absl::Status admit(FileOperation operation, const std::string& path, uint64_t epoch);
    absl::Status admit(FileOperation operation, const std::string& path) {
        return admit(operation, path, epoch_);
    }

    // Writes what fits; disk_full when that is not all. `done`: how much that was.
    absl::Status write(FileNode& node,
                       const std::string& path,
                       uint64_t offset,
                       std::string_view data,
                       size_t& done);
    absl::Status truncate(FileNode& node, const std::string& path, uint64_t size);
    absl::Status preallocate(FileNode& node, const std::string& path, uint64_t bytes);
    // Gives back what was preallocated and not used.
    void trim(FileNode& node);
    // To be told of each handle of `node`, and when a link or a handle of it has gone.
    void opened(FileNode& node);
    void closed(FileNode& node);
    void released(const FileNode& node);

    void begin_epoch(uint64_t used);
    uint64_t epoch() const { return epoch_; }
    // Of this epoch.
    uint64_t open_handles() const { return open_handles_; }
    bool alive(uint64_t epoch) const { return epoch == epoch_ && !faults_.dead(); }
    size_t append_buffer_bytes() const { return append_buffer_bytes_; }
    uint64_t capacity() const { return capacity_; }
    uint64_t used() const { return used_; }
    uint64_t free() const { return capacity_ - std::min(capacity_, used_); }
    void set_capacity(uint64_t capacity) { capacity_ = capacity; }
    void set_append_buffer_bytes(size_t bytes) { append_buffer_bytes_ = bytes; }
    FileFaults& faults() { return faults_; }

  private:
    absl::Status disk_full(const FileNode& node, const std::string& path) const;

    FileFaults faults_;
    size_t append_buffer_bytes_;
    uint64_t epoch_ = 1;
    uint64_t open_handles_ = 0;
    uint64_t capacity_;
    uint64_t used_ = 0;
};

// Appends begin at `offset`.
std::unique_ptr<WritableFile> make_sim_writable(FileMachine& machine,
                                                FileNodePtr node,
                                                std::string path,
                                                uint64_t offset);
std::unique_ptr<RandomAccessFile> make_sim_readable(FileMachine& machine,
                                                    FileNodePtr node,
                                                    std::string path);
// REQUIRES: the node is not locked.
std::unique_ptr<FileLock> make_sim_lock(FileMachine& machine, FileNodePtr node);
// REQUIRES: the node is not locked, or shared.
std::unique_ptr<FileLock> make_sim_shared_lock(FileMachine& machine, FileNodePtr node);

}  // namespace starling::env
