#pragma once

// A file system in memory that can lose power, for simulations and tests.
//
// The model. Bytes travel: handle's buffer -> page cache -> disk.
// 1. append() fills the handle's buffer, as the real one's does; a full buffer, flush(), sync() and
// close()
//    move it to the page cache, where all readers see it. sync() moves the file's page cache to the
//    disk. Directory entries are on the disk once sync_directory() of their directory is OK.
// 2. crash() ends the processes that use the file system: what is in handles' buffers is gone,
// handles are
//    dead for good (is_simulated_crash()), locks are free. With power loss, what is not on the disk
//    is lost, kept, or torn: any subset of 512-byte sectors and of directory changes (see
//    CrashMode).
// 3. faults() fails operations, or kills the machine before the n-th: between that moment and
// crash() every
//    operation fails. To try all crash points of a scenario: for n = 1, 2, ...: crash_at(n), run
//    the scenario, stop when the machine is not dead(), else crash() and check what recovery makes
//    of it.
// 4. A failed sync marks its pages clean: a second sync is OK and proves nothing. The simulated
// handle is as
//    forgiving as a kernel, so that a caller that goes on after an error is found out.
// 5. The disk has a capacity; the write that meets it is cut short.
//
// Deterministic: the same calls and the same random numbers give the same disk. Not thread-safe:
// one simulation, one thread. All handles must be destroyed before the file system.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/file_system.h"
#include "env/random.h"
#include "env/sim/file_content.h"
#include "env/sim/file_faults.h"
#include "env/sim/file_handles.h"
#include "env/sim/file_tree.h"

namespace starling::env {

struct SimFileSystemOptions {
    uint64_t capacity = uint64_t{1} << 40;
    // As PosixFileSystem's. With 0 each append reaches the page cache at once, and counts as an
    // operation.
    size_t append_buffer_bytes = size_t{64} << 10;
};

class SimFileSystem : public FileSystem {
  public:
    explicit SimFileSystem(SimFileSystemOptions options = {});
    virtual ~SimFileSystem() = default;
    SimFileSystem(const SimFileSystem&) = delete;
    SimFileSystem& operator=(const SimFileSystem&) = delete;

    absl::StatusOr<std::unique_ptr<WritableFile>> create(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> open_for_append(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> recycle(const std::string& from,
                                                          const std::string& to) override;
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_read(
        const std::string& path) override;
    absl::StatusOr<bool> exists(const std::string& path) override;
    absl::StatusOr<uint64_t> file_size(const std::string& path) override;
    absl::StatusOr<std::vector<std::string>> list(const std::string& directory) override;
    absl::Status create_directory(const std::string& path) override;
    absl::Status remove(const std::string& path) override;
    absl::Status rename(const std::string& from, const std::string& to) override;
    absl::Status link(const std::string& from, const std::string& to) override;
    absl::Status truncate(const std::string& path, uint64_t size) override;
    absl::Status sync_directory(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock_shared(const std::string& path) override;
    absl::StatusOr<uint64_t> free_bytes(const std::string& path) override;

    // What follows is the tests' side. It counts as no operation and meets no fault.

    FileFaults& faults() { return machine_.faults(); }
    // Ends all processes and begins anew; clears the faults' plans, not their hook.
    void crash(CrashMode mode, Random& random);

    // Bytes beyond a smaller capacity stay; further ones find no room.
    void set_capacity(uint64_t bytes) { machine_.set_capacity(bytes); }
    void set_append_buffer_bytes(size_t bytes) { machine_.set_append_buffer_bytes(bytes); }
    uint64_t used_bytes() const { return machine_.used(); }
    // Files that the present processes have open, each as often as they do; not locks.
    uint64_t open_handles() const { return machine_.open_handles(); }

    // Damage to stored bytes, which no later sync notices. not_found; out_of_range.
    absl::Status damage(const std::string& path, uint64_t offset, std::string_view bytes);
    absl::Status flip_bit(const std::string& path, uint64_t offset, unsigned bit);
    // Whether the disk can read the sector at `offset`; a write makes it good. As damage().
    absl::Status set_readable(const std::string& path, uint64_t offset, bool is_readable);

    // What the file would hold after a power loss now that takes all that is unsynced; none when
    // its name would not be there.
    std::optional<std::string> durable_bytes(const std::string& path) const;
    // A copy with all that is unsynced, but without handles, locks and faults. Bytes are shared
    // until they change: it costs by the number of files.
    std::unique_ptr<SimFileSystem> clone() const;
    // A copy after a power loss now that takes all that is unsynced.
    std::unique_ptr<SimFileSystem> clone_after_crash() const;
    // The disk is swapped for a copy of another one. REQUIRES: no process uses it (after crash()).
    void swap_for(const SimFileSystem& other);

  private:
    absl::StatusOr<FileNodePtr> find_or_create(const std::string& path);
    uint64_t count_used() const;

    FileMachine machine_;
    FileTree tree_;
};

}  // namespace starling::env
