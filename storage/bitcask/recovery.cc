#include "storage/bitcask/recovery.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/bitcask/data_file.h"
#include "storage/bitcask/file_names.h"
#include "storage/bitcask/merge.h"
#include "storage/log/log_replay.h"

namespace starling::storage::bitcask {

namespace {

// Adds the batches of the log to the directory, and notes where each file ends.
class LogLoader final : public LogReplay::Target {
  public:
    explicit LogLoader(KeyDirectory& keys) : keys_(keys) {}

    absl::StatusOr<Sequence> add(const Record& record, uint64_t number) override {
        const uint64_t offset = record.offset + record_header_bytes;
        STARLING_ASSIGN_OR_RETURN(const std::vector<Change> changes,
                                  changes_of(record.payload, record.sequence, number, offset));
        const auto [end, added] = ends_.try_emplace(number);
        end->second = offset + record.payload.size();
        if (added) {
            keys_.add_loaded({.number = number, .bytes = end->second, .merged = false});
        } else {
            keys_.set_bytes(number, end->second);
        }
        for (const Change& change : changes) {
            keys_.load(change);
        }
        return record.sequence + changes.size() - 1;
    }

    std::vector<ListedFile> files() const {
        std::vector<ListedFile> files;
        files.reserve(ends_.size());
        for (const auto& [number, end] : ends_) {
            files.push_back({.number = number, .bytes = end, .merged = false});
        }
        return files;
    }

  private:
    KeyDirectory& keys_;
    std::map<uint64_t, uint64_t> ends_;
};

class Recovery {
  public:
    Recovery(env::FileSystem& files, const std::string& directory, const EngineOptions& options)
        : files_(files),
          directory_(directory),
          options_(options),
          keys_(std::make_shared<KeyDirectory>(options.memory_bytes_max)) {}

    absl::StatusOr<Recovered> run() {
        STARLING_RETURN_IF_ERROR(list_files());
        STARLING_RETURN_IF_ERROR(read_list());
        STARLING_RETURN_IF_ERROR(check_files());
        STARLING_RETURN_IF_ERROR(load_files());
        STARLING_RETURN_IF_ERROR(load_log());
        if (options_.read_only) {
            return stay();
        }
        STARLING_RETURN_IF_ERROR(rewrite_log());
        return begin();
    }

  private:
    struct Found {
        std::string name;
        FileName parsed;
    };

    absl::Status list_files() {
        STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(directory_));
        for (const std::string& name : names) {
            if (const auto parsed = parse_file_name(name)) {
                found_.push_back({.name = name, .parsed = *parsed});
                next_number_ = std::max(next_number_, parsed->number + 1);
            }
        }
        return absl::OkStatus();
    }

    absl::Status read_list() {
        STARLING_ASSIGN_OR_RETURN(auto list, read_file_list(files_, directory_));
        if (list.has_value()) {
            list_ = *std::move(list);
            next_number_ = std::max(next_number_, list_.log.number + 1);
            if (!list_.files.empty()) {
                next_number_ = std::max(next_number_, list_.files.back().number + 1);
            }
            return absl::OkStatus();
        }
        // The first list counts before any change is accepted; until then there is an empty log at
        // most.
        for (const Found& found : found_) {
            if (found.parsed.kind != FileKind::data) {
                continue;
            }
            STARLING_ASSIGN_OR_RETURN(const uint64_t size,
                                      files_.file_size(data_path(directory_, found.parsed.number)));
            if (size > record_file_header_bytes) {
                return absl::DataLossError(fmt::format(
                    "{} is missing, but {} holds data", list_path(directory_), directory_));
            }
        }
        return absl::OkStatus();
    }

    absl::Status check_files() {
        for (const ListedFile& file : list_.files) {
            const std::string path = data_path(directory_, file.number);
            const auto size = files_.file_size(path);
            if (absl::IsNotFound(size.status())) {
                return absl::DataLossError(
                    fmt::format("{} is missing, but {} names it", path, list_path(directory_)));
            }
            STARLING_RETURN_IF_ERROR(size.status());
            if (*size != file.bytes) {
                return absl::DataLossError(fmt::format(
                    "{}: has {} bytes, but was written with {}", path, *size, file.bytes));
            }
        }
        return absl::OkStatus();
    }

    absl::Status load_files() {
        const auto load = [this](const Change& change) {
            keys_->load(change);
            return absl::OkStatus();
        };
        for (const ListedFile& file : list_.files) {
            keys_->add_loaded(file);
        }
        for (const ListedFile& file : list_.files) {
            if (!read_hint(files_, directory_, file, load)) {
                STARLING_RETURN_IF_ERROR(read_data_file(files_, directory_, file, load));
            }
        }
        return absl::OkStatus();
    }

    absl::Status load_log() {
        LogLoader loader(*keys_);
        if (list_.log.number != 0) {
            std::vector<uint64_t> numbers;
            for (const Found& found : found_) {
                if (found.parsed.kind == FileKind::data &&
                    found.parsed.number >= list_.log.number && !is_listed(found.parsed.number)) {
                    numbers.push_back(found.parsed.number);
                }
            }
            std::sort(numbers.begin(), numbers.end());
            LogReplay replay(files_, directory_, list_.log, log_naming);
            STARLING_RETURN_IF_ERROR(replay.open(std::move(numbers)));
            STARLING_RETURN_IF_ERROR(replay.fill(loader).status());
            list_.log.flushed = replay.last_sequence();
            list_.log.position = replay.position();
        }
        log_files_ = loader.files();
        keys_->finish_loading(list_.log.flushed);
        return absl::OkStatus();
    }

    // What was read back may not be on the disk: a sync that failed in an earlier life leaves pages
    // that only look clean. So nothing of these files is relied on.
    absl::Status rewrite_log() {
        MergeOptions options;
        options.directory = directory_;
        options.file_bytes_max = options_.bitcask_file_bytes;
        options.next_file_number = [this] { return next_number_++; };
        options.should_stop = [] { return false; };
        STARLING_ASSIGN_OR_RETURN(Merged merged,
                                  merge_files(files_, *keys_, log_files_, std::move(options)));
        for (const ListedFile& file : merged.files) {
            keys_->add_merged(file);
            list_.files.push_back(file);
        }
        keys_->relocate(merged.moves);
        std::set<uint64_t> gone;
        for (const ListedFile& file : log_files_) {
            gone.insert(file.number);
        }
        keys_->retire(gone);
        return absl::OkStatus();
    }

    absl::StatusOr<Recovered> begin() {
        list_.log.number = next_number_++;
        Recovered recovered;
        recovered.log = std::make_unique<Log>(Log::Options{.directory = directory_,
                                                           .file_bytes_expected = 0,
                                                           .number = list_.log.number,
                                                           .position = list_.log.position,
                                                           .naming = log_naming},
                                              files_);
        STARLING_RETURN_IF_ERROR(recovered.log->make_files());
        STARLING_RETURN_IF_ERROR(replace_file_list(files_, directory_, list_));
        // All other files belong to the past. What cannot be removed is for the next start.
        for (const Found& found : found_) {
            if (!is_listed(found.parsed.number)) {
                files_.remove(fmt::format("{}/{}", directory_, found.name)).IgnoreError();
            }
        }
        recovered.keys = std::move(keys_);
        recovered.list = std::move(list_);
        return recovered;
    }

    // To be read only: the log's files stay what values are read from, and its next one is never
    // made.
    Recovered stay() {
        list_.log.number = next_number_;
        Recovered recovered;
        recovered.log = std::make_unique<Log>(Log::Options{.directory = directory_,
                                                           .file_bytes_expected = 0,
                                                           .number = list_.log.number,
                                                           .position = list_.log.position,
                                                           .naming = log_naming},
                                              files_);
        recovered.keys = std::move(keys_);
        recovered.list = std::move(list_);
        return recovered;
    }

    bool is_listed(uint64_t number) const {
        return std::any_of(list_.files.begin(), list_.files.end(), [&](const ListedFile& file) {
            return file.number == number;
        });
    }

    env::FileSystem& files_;
    const std::string& directory_;
    const EngineOptions& options_;
    std::vector<Found> found_;
    FileList list_;
    std::vector<ListedFile> log_files_;
    std::shared_ptr<KeyDirectory> keys_;
    uint64_t next_number_ = 1;
};

}  // namespace

absl::StatusOr<Recovered> recover(env::FileSystem& files,
                                  const std::string& directory,
                                  const EngineOptions& options) {
    return Recovery(files, directory, options).run();
}

}  // namespace starling::storage::bitcask
