#include "storage/bitcask/appender.h"

#include "storage/log/record_file.h"

namespace starling::storage::bitcask {

Appender::Appender(Log& log, KeyDirectory& directory, uint64_t file_bytes_max, uint64_t active)
    : log_(log),
      directory_(directory),
      file_bytes_max_(file_bytes_max),
      next_number_(active + 1),
      last_sequence_(directory.sequence()),
      bytes_(record_file_header_bytes) {
    directory_.begin_file(active, last_sequence_);
}

Appender::Outcome Appender::append(const WriteBatch& batch,
                                   std::span<const Change> changes,
                                   absl::FunctionRef<bool()> admit) {
    Outcome outcome;
    const uint64_t record_bytes = record_header_bytes + batch.byte_size();
    absl::MutexLock lock(&mutex_);
    outcome.applied = admit();
    if (!outcome.applied || batch.empty()) {
        return outcome;
    }
    if (bytes_ + record_bytes > file_bytes_max_ && bytes_ > record_file_header_bytes) {
        roll_locked();
        outcome.rolled = true;
    }
    log_.append(last_sequence_ + 1, batch.representation());
    last_sequence_ += changes.size();
    appended_ += record_bytes;
    directory_.apply(changes,
                     batch.representation(),
                     bytes_ + record_header_bytes,
                     appended_,
                     appended_ - log_.buffered_bytes());
    bytes_ += record_bytes;
    return outcome;
}

void Appender::roll() {
    absl::MutexLock lock(&mutex_);
    if (bytes_ > record_file_header_bytes) {
        roll_locked();
    }
}

void Appender::roll_locked() {
    const uint64_t number = next_file_number();
    log_.roll(number);
    directory_.begin_file(number, last_sequence_);
    bytes_ = record_file_header_bytes;
}

}  // namespace starling::storage::bitcask
