#include "storage/bitcask/merge.h"

#include <optional>
#include <set>

#include "absl/container/flat_hash_set.h"

#include "base/hash.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/bitcask/file_names.h"
#include "storage/bitcask/value_reader.h"
#include "storage/log/record_file.h"
#include "storage/operations.h"

namespace starling::storage::bitcask {

namespace {

constexpr size_t write_bytes = 256u << 10;

class Merger {
  public:
    Merger(env::FileSystem& files, const KeyDirectory& keys, MergeOptions options)
        : files_(files),
          keys_(keys),
          options_(std::move(options)),
          values_(files, options_.directory, 1) {}

    absl::Status run(const std::vector<ListedFile>& inputs) {
        for (const ListedFile& input : inputs) {
            numbers_.insert(input.number);
        }
        for (const ListedFile& input : inputs) {
            STARLING_RETURN_IF_ERROR(add_file(input));
        }
        STARLING_RETURN_IF_ERROR(finish_file());
        return merged_.files.empty() ? absl::OkStatus() : files_.sync_directory(options_.directory);
    }

    void remove_files() {
        out_.reset();
        for (const uint64_t number : begun_) {
            files_.remove(data_path(options_.directory, number)).IgnoreError();
            files_.remove(hint_path(options_.directory, number)).IgnoreError();
        }
    }

    Merged take() { return std::move(merged_); }

  private:
    absl::Status add_file(const ListedFile& input) {
        size_t added = 0;
        absl::Status status =
            read_data_file(files_, options_.directory, input, [&](const Change& change) {
                ++added;
                return add(change);
            });
        return absl::IsDataLoss(status) ? add_damaged_file(input, added, std::move(status))
                                        : status;
    }

    // The hint has the same changes in the same order; the first `added` are done.
    absl::Status add_damaged_file(const ListedFile& input, size_t added, absl::Status damage) {
        size_t index = 0;
        absl::Status status;
        const auto add_behind = [&](const Change& change) {
            status = index++ < added ? absl::OkStatus() : add(change);
            return status;
        };
        if (!read_hint(files_, options_.directory, input, add_behind) && status.ok()) {
            return damage;
        }
        STARLING_MARK(bitcask_merge_goes_by_the_hint);
        return status;
    }

    absl::Status add(const Change& change) {
        if (options_.should_stop()) {
            return absl::CancelledError("the engine is closing");
        }
        switch (keys_.fate(change, numbers_, options_.now)) {
            case Fate::drop:
                return hides_what_was_kept(change) ? write(change) : absl::OkStatus();
            case Fate::keep_hidden:
                hidden_.insert(base::xxh3_64(change.key));
                return write(change);
            case Fate::keep:
                return write(change);
            case Fate::drop_expired:
                if (hidden_.contains(base::xxh3_64(change.key))) {
                    break;
                }
                merged_.expired.emplace_back(change.key, change.sequence);
                return absl::OkStatus();
            case Fate::keep_as_removal:
                break;
        }
        merged_.expired.emplace_back(change.key, change.sequence);
        WriteBatch removal;
        removal.remove(change.key);
        Change removed{.type = ChangeType::remove,
                       .sequence = change.sequence,
                       .key = change.key,
                       .end = {},
                       .expiry = never,
                       .location = {},
                       .encoded = removal.representation()};
        return write(removed);
    }

    bool hides_what_was_kept(const Change& change) const {
        switch (change.type) {
            case ChangeType::put:
                return false;
            case ChangeType::remove:
                return hidden_.contains(base::xxh3_64(change.key));
            case ChangeType::remove_range:
                return !hidden_.empty();
        }
        return false;
    }

    absl::Status write(const Change& change) {
        return change.encoded.empty() ? write_hinted(change) : write_encoded(change);
    }

    absl::Status write_hinted(const Change& change) {
        WriteBatch batch;
        switch (change.type) {
            case ChangeType::put: {
                STARLING_ASSIGN_OR_RETURN(const std::string value,
                                          values_.read(change.key, change.location));
                if (change.expiry == never) {
                    batch.put(change.key, value);
                } else {
                    batch.put(change.key, value, to_wall_time(change.expiry));
                }
                break;
            }
            case ChangeType::remove:
                batch.remove(change.key);
                break;
            case ChangeType::remove_range:
                batch.remove_range(change.key, change.end);
                break;
        }
        Change whole = change;
        whole.encoded = batch.representation();
        return write_encoded(whole);
    }

    absl::Status write_encoded(const Change& change) {
        const uint64_t record_bytes = record_header_bytes + change.encoded.size();
        if (file_bytes_ + record_bytes > options_.file_bytes_max) {
            STARLING_RETURN_IF_ERROR(finish_file());
        }
        if (out_ == nullptr) {
            STARLING_RETURN_IF_ERROR(begin_file());
        }
        Change moved = change;
        moved.location.file = number_;
        if (change.type == ChangeType::put) {
            // The value is the end of its change.
            moved.location.offset = file_bytes_ + record_bytes - change.location.size;
            merged_.moves.push_back({.key = std::string(change.key),
                                     .sequence = change.sequence,
                                     .to = moved.location});
        }
        hint_->add(moved);
        append_record(records_, change.sequence, 0, change.encoded);
        file_bytes_ += record_bytes;
        return records_.size() >= write_bytes ? write_out() : absl::OkStatus();
    }

    absl::Status begin_file() {
        number_ = options_.next_file_number();
        begun_.push_back(number_);
        STARLING_ASSIGN_OR_RETURN(out_, files_.create(data_path(options_.directory, number_)));
        STARLING_RETURN_IF_ERROR(
            out_->append(encode_record_file_header(RecordFileKind::merged_data, number_, 0)));
        hint_.emplace(number_);
        file_bytes_ = record_file_header_bytes;
        written_ = file_bytes_;
        return absl::OkStatus();
    }

    absl::Status write_out() {
        seal_records(records_.data(), records_.data() + records_.size(), number_, written_);
        STARLING_RETURN_IF_ERROR(out_->append(records_));
        written_ += records_.size();
        records_.clear();
        return absl::OkStatus();
    }

    absl::Status finish_file() {
        if (out_ == nullptr) {
            return absl::OkStatus();
        }
        STARLING_RETURN_IF_ERROR(write_out());
        STARLING_RETURN_IF_ERROR(out_->sync());
        STARLING_RETURN_IF_ERROR(out_->close());
        out_.reset();
        write_hint(files_, options_.directory, number_, hint_->finish(file_bytes_));
        merged_.files.push_back({.number = number_, .bytes = file_bytes_, .merged = true});
        file_bytes_ = 0;
        return absl::OkStatus();
    }

    env::FileSystem& files_;
    const KeyDirectory& keys_;
    MergeOptions options_;
    // Of inputs that are damaged.
    ValueReader values_;
    std::set<uint64_t> numbers_;
    // Hashes of keys of which this merge has kept a hidden value.
    absl::flat_hash_set<uint64_t> hidden_;
    Merged merged_;
    // The files begun, with those that are not finished.
    std::vector<uint64_t> begun_;

    // The file being written.
    std::unique_ptr<env::WritableFile> out_;
    uint64_t number_ = 0;
    std::optional<HintBuilder> hint_;
    // Records that are not in the file yet, the file's size with and without them.
    std::string records_;
    uint64_t file_bytes_ = 0;
    uint64_t written_ = 0;
};

}  // namespace

absl::StatusOr<Merged> merge_files(env::FileSystem& files,
                                   const KeyDirectory& keys,
                                   const std::vector<ListedFile>& inputs,
                                   MergeOptions options) {
    Merger merger(files, keys, std::move(options));
    if (absl::Status status = merger.run(inputs); !status.ok()) {
        merger.remove_files();
        return status;
    }
    return merger.take();
}

}  // namespace starling::storage::bitcask
