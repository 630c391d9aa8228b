#pragma once

// Which values cannot be read from their files any more. A hint stands in for what else is damaged
// in a complete file (merge.h); damage to the log shows at the next start.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/bitcask/key_directory.h"
#include "storage/bitcask/value_reader.h"
#include "storage/engine.h"

namespace starling::storage::bitcask {

// The newest value of a key.
struct LostValue {
    std::string key;
    Sequence sequence = 0;
    // data_loss, naming file and offset.
    absl::Status error;
};

// Reads the newest value of every key from its file, opened anew, ascending by key; of the log
// those alone that are not in memory. Errors that are no damage are returned as they are.
// cancelled: `should_stop` said so; it is asked once for each key.
class ValueSearch {
  public:
    // Behind this key; nullopt: from the first one on. Everything is borrowed.
    ValueSearch(env::FileSystem& files,
                const std::string& directory,
                const KeyDirectory& keys,
                std::optional<std::string> behind,
                absl::FunctionRef<bool()> should_stop);

    // The next one; false: there is none.
    absl::StatusOr<bool> next();
    // Where it has come to.
    const std::optional<std::string>& behind() const { return behind_; }
    // Of the disk that what the last next() looked at takes; and whether it read it.
    uint64_t bytes() const { return bytes_; }
    bool has_read() const { return has_read_; }
    // The last next() has found this; nullopt: nothing is lost there.
    const std::optional<LostValue>& lost() const { return lost_; }

  private:
    const KeyDirectory& keys_;
    const absl::FunctionRef<bool()> should_stop_;
    ValueReader values_;
    std::optional<std::string> behind_;
    uint64_t bytes_ = 0;
    bool has_read_ = false;
    std::optional<LostValue> lost_;
};

// All of them.
absl::StatusOr<std::vector<LostValue>> find_lost_values(env::FileSystem& files,
                                                        const std::string& directory,
                                                        const KeyDirectory& keys,
                                                        absl::FunctionRef<bool()> should_stop);

// Goes through the values again and again, and in pieces.
class Scrub {
  public:
    // All borrowed.
    Scrub(env::FileSystem& files, const std::string& directory, const KeyDirectory& keys)
        : files_(files), directory_(directory), keys_(keys) {}

    // Each is a read of its own, so a step of small values ends before it has read all its bytes.
    static constexpr size_t reads_per_step_max = 256;

    // As Engine::scrub(). A key that comes meanwhile belongs to the round when it lies ahead.
    absl::StatusOr<ScrubStep> read_on(uint64_t bytes, absl::FunctionRef<bool()> should_stop);

  private:
    env::FileSystem& files_;
    const std::string& directory_;
    const KeyDirectory& keys_;
    // The last key that was looked at; nullopt: no round is under way.
    std::optional<std::string> behind_;
};

}  // namespace starling::storage::bitcask
