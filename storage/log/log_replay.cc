#include "storage/log/log_replay.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"

namespace starling::storage {

namespace {

constexpr uint64_t log_bytes_max = uint64_t{4} << 30;

absl::Status damaged(const std::string& path, uint64_t offset, std::string_view why) {
    return absl::DataLossError(fmt::format("{}: at offset {}: {}", path, offset, why));
}

}  // namespace

std::string LogReplay::path() const {
    return naming_.path(directory_, number_);
}

absl::Status LogReplay::open(std::vector<uint64_t> numbers) {
    if (numbers.empty() || numbers.front() != start_.number) {
        return absl::DataLossError(fmt::format("{} is missing, but the manifest names it",
                                               naming_.path(directory_, start_.number)));
    }
    rest_ = std::move(numbers);
    std::reverse(rest_.begin(), rest_.end());
    const uint64_t first = rest_.back();
    rest_.pop_back();
    return load(first);
}

absl::Status LogReplay::load(uint64_t number) {
    number_ = number;
    STARLING_ASSIGN_OR_RETURN(content_, env::read_file(files_, path(), log_bytes_max));
    reader_ = std::make_unique<RecordReader>(content_, naming_.kind, number);
    return absl::OkStatus();
}

// False: the log ends in this file.
absl::StatusOr<bool> LogReplay::enter_next_file() {
    if (rest_.empty() || !reader_->has_header()) {
        return false;
    }
    const uint64_t current = number_;
    // Files of other kinds may lie between; positions tell which one goes on here.
    for (auto next = rest_.end(); next != rest_.begin();) {
        --next;
        STARLING_RETURN_IF_ERROR(load(*next));
        if (reader_->has_header() && reader_->base() == position_) {
            STARLING_MARK(replay_enters_next_file);
            rest_.erase(next, rest_.end());
            position_ += record_file_header_bytes;
            return true;
        }
    }
    STARLING_MARK(replay_next_file_does_not_go_on);
    STARLING_RETURN_IF_ERROR(load(current));
    return false;
}

absl::StatusOr<bool> LogReplay::fill(Target& target) {
    if (position_ == start_.position && reader_->has_header()) {
        if (reader_->base() != start_.position) {
            STARLING_MARK(replay_begins_elsewhere);
            return damaged(
                path(), 0, "the log file begins at another position than the manifest says");
        }
        position_ += record_file_header_bytes;
    }
    for (;;) {
        Record record;
        while (reader_->next(record)) {
            STARLING_RETURN_IF_ERROR(add(record, target));
            position_ = reader_->base() + reader_->offset();
            if (target.full()) {
                return true;
            }
        }
        const uint64_t end = reader_->offset();
        STARLING_ASSIGN_OR_RETURN(const bool entered, enter_next_file());
        if (!entered) {
            // The file may have been read anew.
            while (reader_->offset() < end && reader_->next(record)) {
            }
            STARLING_RETURN_IF_ERROR(end_here());
            return false;
        }
    }
}

absl::Status LogReplay::add(const Record& record, Target& target) {
    if (record.sequence != last_sequence_ + 1) {
        STARLING_MARK(replay_change_is_missing);
        return damaged(
            path(),
            record.offset,
            fmt::format(
                "the log goes on with change {} after {}", record.sequence, last_sequence_));
    }
    const absl::StatusOr<Sequence> last = target.add(record, number_);
    if (!last.ok()) {
        STARLING_MARK(replay_batch_damaged);
        return damaged(path(), record.offset, "a batch is damaged");
    }
    last_sequence_ = *last;
    return absl::OkStatus();
}

// What follows position_ is what a crash left, unless some record knows better.
absl::Status LogReplay::end_here() {
    if (STARLING_PLANTED(wal_replay_stops_silently)) {
        return absl::OkStatus();
    }
    const std::string where = path();
    const uint64_t offset = reader_->offset();
    if (offset < content_.size()) {
        STARLING_MARK(replay_torn_or_filled_tail);
    }
    // Of the next file, if all of those before it was used.
    LogPosition base_max = position_;
    LogPosition claimed = reader_->durable_claimed_beyond(position_, base_max);
    while (!rest_.empty()) {
        base_max += content_.size();
        STARLING_RETURN_IF_ERROR(load(rest_.back()));
        rest_.pop_back();
        claimed = std::max(claimed, reader_->durable_claimed_beyond(position_, base_max));
    }
    if (claimed != 0) {
        STARLING_MARK(replay_damage_before_end);
        return damaged(where, offset, "the log is damaged before its end");
    }
    return absl::OkStatus();
}

}  // namespace starling::storage
