#pragma once

// The directories of a simulated file system: what processes see, and what a power loss would
// leave.
//
// 1. A change of entries (creation, rename, removal, link) is durable once one of its directories
// is
//    synced. A rename is one change: both of its ends, or none.
// 2. Syncing the data of a file does nothing for its entry; syncing a directory nothing for its
// files' data.
// 3. In mode torn a crash keeps, with even odds, the first so many unsynced changes (a journal) or
// any subset
//    of them, in their order.
//
// Paths are split at '/'; absolute and relative ones name the same files. Not thread-safe.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "env/random.h"
#include "env/sim/file_content.h"

namespace starling::env {

struct FileNode;
using FileNodePtr = std::shared_ptr<FileNode>;
using FileEntries = std::map<std::string, FileNodePtr, std::less<>>;

struct FileNode {
    bool is_directory = false;
    // Of a file.
    FileContent content;
    uint64_t preallocated = 0;
    // The begins of sectors that the disk cannot read, until they are written again.
    std::set<uint64_t> lost_sectors;
    uint32_t links = 0;
    uint32_t handles = 0;
    bool locked = false;
    uint32_t shared_locks = 0;
    // Of a directory.
    FileEntries entries;
    FileEntries durable_entries;

    uint64_t disk_bytes() const { return std::max(content.size(), preallocated); }
};

class FileTree {
  public:
    // A place where an entry is or could be.
    struct Place {
        FileNodePtr directory;
        std::string name;
        // Null: there is no entry.
        FileNodePtr node;
    };

    FileTree();

    // not_found when a directory on the way is missing.
    absl::StatusOr<Place> place(const std::string& path) const;
    absl::StatusOr<FileNodePtr> file(const std::string& path) const;
    absl::StatusOr<FileNodePtr> directory(const std::string& path) const;
    // Null when a power loss now could leave no file there.
    FileNodePtr durable_file(const std::string& path) const;

    // The entry changes: `node` null removes it.
    void set(const Place& at, FileNodePtr node);
    void move(const Place& from, const Place& to);
    void sync(const FileNodePtr& directory);

    // Frees locks and handles; files without a name go.
    void end_processes();
    // REQUIRES: mode is a power loss. Also settles the content of all files.
    void lose_power(CrashMode mode, Random& random);
    // Shares no node with this one, and no handles or locks.
    FileTree clone() const;
    // Files reachable by a path, each once.
    std::vector<FileNodePtr> files() const;

  private:
    struct Change {
        FileNodePtr directory;
        std::string name;
        FileNodePtr node;
    };
    using Operation = std::vector<Change>;

    void perform(Operation operation);
    static void commit(const Operation& operation);
    void commit_if(const std::vector<bool>& chosen);
    std::vector<bool> survivors(CrashMode mode, Random& random) const;

    FileNodePtr root_;
    // In the order they were made, not yet durable.
    std::vector<Operation> pending_;
};

}  // namespace starling::env
