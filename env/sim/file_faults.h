#pragma once

// Decides which operations of a simulated file system fail, and when its machine dies. Each
// operation that a real process would make a system call for counts as one; an append that only
// fills the process's buffer does not.
//
// What a failed operation leaves behind: a write, the first half of its bytes; a sync, clean pages
// that are not on the disk (see FileContent); all others, nothing. Not thread-safe.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace starling::env {

enum class FileOperation : uint8_t {
    // create, open_for_append, recycle after its rename, open_for_read, create_directory, lock,
    // lock_shared
    open,
    read,
    write,
    sync,
    rename,
    remove,
    link,
    truncate,
    sync_directory,
    // exists, file_size, list, free_bytes
    inspect,
};

std::string_view name_of(FileOperation operation);

class FileFaults {
  public:
    using Hook = std::function<absl::Status(FileOperation, const std::string& path)>;

    // Operations since the file system was made.
    uint64_t operation_count() const { return count_; }

    // The n-th operation from now (1 = the next) fails with `unavailable`; with `for_ever`, so do
    // all after it. REQUIRES: n > 0.
    void fail_nth(uint64_t n, bool for_ever = false);
    // The next `times` operations of one kind fail.
    void fail_next(FileOperation operation, uint64_t times = 1);
    // At the n-th operation from now the machine dies, before the operation has done anything: it
    // and all that follow fail, with is_simulated_crash(), until SimFileSystem::crash(). REQUIRES:
    // n > 0.
    void crash_at(uint64_t n);
    // Asked before each operation, after the plans above: an error fails the operation. Stays over
    // a crash.
    void set_hook(Hook hook) { hook_ = std::move(hook); }
    // Forgets all plans, and revives a dead machine; not the hook.
    void clear();

    bool dead() const { return dead_; }

    // Counts one operation; what comes of it.
    absl::Status admit(FileOperation operation, const std::string& path);

  private:
    struct KindPlan {
        FileOperation operation;
        uint64_t times;
    };

    bool planned(FileOperation operation);

    uint64_t count_ = 0;
    // 0: never.
    uint64_t fail_from_ = 0;
    bool for_ever_ = false;
    uint64_t crash_at_ = 0;
    bool dead_ = false;
    std::vector<KindPlan> kinds_;
    Hook hook_;
};

// The error of all operations between the moment a simulated machine dies and its restart, and of
// the file objects of its dead processes for ever.
absl::Status simulated_crash(const std::string& path);
bool is_simulated_crash(const absl::Status& status);

}  // namespace starling::env
