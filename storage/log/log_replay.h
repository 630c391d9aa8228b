#pragma once

// Reads the log files that a crash left, in order, up to the first place that cannot be read, and
// decides whether that place is where the crash cut off (then the log ends there) or damage to
// something that was durable (then recovery is refused: see record_file.h).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/log/log_start.h"
#include "storage/log/record_file.h"

namespace starling::storage {

class LogReplay {
  public:
    // What takes the batches.
    class Target {
      public:
        // The sequence of the record's last change. An error: the payload is no batch.
        virtual absl::StatusOr<Sequence> add(const Record& record, uint64_t file_number) = 0;
        virtual bool full() const { return false; }

      protected:
        ~Target() = default;
    };

    // `start` is what the manifest says.
    LogReplay(env::FileSystem& files, std::string directory, LogStart start, LogNaming naming)
        : files_(files),
          directory_(std::move(directory)),
          start_(start),
          naming_(naming),
          position_(start.position),
          last_sequence_(start.flushed) {}

    // `numbers`: of the log files at or after the first one, ascending. data_loss: the first is
    // missing.
    absl::Status open(std::vector<uint64_t> numbers);

    // Adds batches to `target` until it is full or the log ends; false: it ended. data_loss.
    absl::StatusOr<bool> fill(Target& target);

    // Where the readable log ends, and the last change in it.
    LogPosition position() const { return position_; }
    Sequence last_sequence() const { return last_sequence_; }

  private:
    absl::Status load(uint64_t number);
    absl::StatusOr<bool> enter_next_file();
    absl::Status add(const Record& record, Target& target);
    absl::Status end_here();
    std::string path() const;

    env::FileSystem& files_;
    const std::string directory_;
    const LogStart start_;
    const LogNaming naming_;
    // Files not yet read, the next one last.
    std::vector<uint64_t> rest_;
    uint64_t number_ = 0;
    std::string content_;
    std::unique_ptr<RecordReader> reader_;
    LogPosition position_;
    Sequence last_sequence_;
};

}  // namespace starling::storage
