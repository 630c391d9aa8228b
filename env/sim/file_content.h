#pragma once

// The bytes of one simulated file, and which of them a power loss may take.
//
//   0 ......... durable_size_ ......... clean_size_ ......... size()
//   on the disk                lost for good          dirty: in the page cache only
//
// 1. durable_size_ <= clean_size_ <= size(). All three are equal when nothing is unsynced.
// 2. A failed sync leaves its dirty bytes readable and clean: no later sync writes them, and a
// power loss
//    turns them into zeros (or cuts them off). lost_ names those ranges, sorted, within [0,
//    clean_size_).
// 3. cut_tail_ is what the disk still has after durable_size_ while a truncation is not synced.
// 4. overwritten_ holds, of sectors below clean_size_ that were written over, what the disk still
// has: a power loss brings it back while the new bytes are not synced, and for good after a failed
// sync.
//
// Copies share their bytes until one of them changes, so a copy of a file system is cheap.
// Not thread-safe.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/random.h"

namespace starling::env {

// What a crash leaves. The bytes a process has not flushed are gone in every mode.
enum class CrashMode : uint8_t {
    // The process ends, the machine goes on: all that was flushed stays, still unsynced.
    process,
    // Power loss; nothing unsynced had reached the disk.
    lost,
    // Power loss; everything flushed had reached the disk, but for what a failed sync lost.
    kept,
    // Power loss; of the unsynced sectors and directory changes any subset had reached the disk.
    torn,
};

inline constexpr uint64_t sim_sector_size = 512;

class FileContent {
  public:
    std::string_view view() const { return *bytes_; }
    uint64_t size() const { return bytes_->size(); }

    void append(std::string_view data) { write(size(), data); }
    // Memory for so many bytes in all, so that a file that grows to them need not be moved.
    void reserve(uint64_t bytes) { writable().reserve(bytes); }
    // Overwrites, and appends what reaches beyond the end.
    void write(uint64_t offset, std::string_view data);
    void truncate(uint64_t size);
    void sync();
    void fail_sync();
    // Replaces stored bytes behind the file system's back. REQUIRES: within size().
    void damage(uint64_t offset, std::string_view data);

    bool fully_durable() const;
    // What a power loss would leave now if nothing unsynced had reached the disk.
    std::string durable() const;

    // REQUIRES: mode is a power loss. `random` is asked in mode torn only.
    void lose_power(CrashMode mode, Random& random);

  private:
    struct Range {
        uint64_t begin;
        uint64_t end;
    };

    struct Overwritten {
        // From the sector's begin.
        std::string on_disk;
        bool dirty = true;
    };
    using OverwrittenSectors = std::map<uint64_t, Overwritten>;

    std::string& writable();
    void note_overwritten(uint64_t begin, uint64_t end);
    std::string take_from_disk(uint64_t begin, uint64_t end);
    void show(std::string& disk, OverwrittenSectors::const_iterator sector) const;
    std::string torn(Random& random) const;
    // The first `size` bytes as the disk has them: zeros or old bytes where a failed sync lost
    // them, and old ones where they were written over since the last sync.
    std::string prefix_on_disk(uint64_t size) const;
    void settle(std::string content);

    std::shared_ptr<std::string> bytes_ = std::make_shared<std::string>();
    uint64_t durable_size_ = 0;
    uint64_t clean_size_ = 0;
    std::vector<Range> lost_;
    // By their begin.
    OverwrittenSectors overwritten_;
    std::string cut_tail_;
};

}  // namespace starling::env
