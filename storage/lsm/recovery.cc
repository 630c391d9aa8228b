#include "storage/lsm/recovery.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/log/log_replay.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/memtable_target.h"
#include "storage/lsm/table_writer.h"

namespace starling::storage::lsm {

namespace {

// Of batches that share a record of the log.
constexpr size_t joined_bytes_max = 4096;

class Recovery {
  public:
    Recovery(env::FileSystem& files,
             const std::string& directory,
             const EngineOptions& options,
             uint64_t memtable_bytes)
        : files_(files),
          directory_(directory),
          options_(options),
          memtable_bytes_(memtable_bytes) {}

    absl::StatusOr<Recovered> run() {
        STARLING_RETURN_IF_ERROR(list_files());
        STARLING_RETURN_IF_ERROR(read_state());
        STARLING_RETURN_IF_ERROR(check_tables());
        const uint64_t first_written = state_.next_file_number;
        if (absl::Status status = replay_log(); !status.ok()) {
            remove_files_from(first_written);
            return status;
        }
        STARLING_ASSIGN_OR_RETURN(Recovered recovered,
                                  options_.read_only ? begin_read_only() : begin());
        recovered.damage = std::move(damage_);
        return recovered;
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
                state_.next_file_number = std::max(state_.next_file_number, parsed->number + 1);
            }
        }
        return absl::OkStatus();
    }

    absl::Status read_state() {
        STARLING_ASSIGN_OR_RETURN(auto state, read_manifest(files_, directory_));
        if (state.has_value()) {
            state->next_file_number = std::max(state->next_file_number, state_.next_file_number);
            state_ = *std::move(state);
            return absl::OkStatus();
        }
        if (!found_.empty()) {
            STARLING_MARK(recovery_without_manifest_finds_files);
        }
        state_.version = std::make_shared<Version>();
        state_.next_file_number = std::max<uint64_t>(state_.next_file_number, 1);
        // The first manifest counts before any change is accepted; until then there is an empty log
        // at most.
        for (const Found& found : found_) {
            STARLING_ASSIGN_OR_RETURN(const bool holds_data, may_hold_data(found));
            if (holds_data) {
                STARLING_MARK(recovery_current_missing);
                return absl::DataLossError(fmt::format(
                    "{} is missing, but {} holds data", current_path(directory_), directory_));
            }
        }
        return absl::OkStatus();
    }

    absl::StatusOr<bool> may_hold_data(const Found& found) {
        if (found.parsed.kind != FileKind::log) {
            return found.parsed.kind == FileKind::table ||
                   found.parsed.kind == FileKind::value_file;
        }
        STARLING_ASSIGN_OR_RETURN(const uint64_t size,
                                  files_.file_size(log_path(directory_, found.parsed.number)));
        return size > record_file_header_bytes;
    }

    absl::Status check_tables() {
        for (size_t level = 0; level < level_count; ++level) {
            for (const TablePtr& table : state_.version->level(level)) {
                STARLING_RETURN_IF_ERROR(
                    check_file(table_path(directory_, table->number), table->file_bytes));
            }
        }
        for (const Version::ValueFile& file : state_.version->value_files()) {
            STARLING_RETURN_IF_ERROR(
                check_file(value_file_path(directory_, file.number), file.file_bytes));
        }
        return absl::OkStatus();
    }

    absl::Status check_file(const std::string& path, uint64_t expected) {
        absl::Status status = check_size(path, expected);
        if (absl::IsDataLoss(status) && options_.open_damaged) {
            STARLING_MARK(recovery_admits_a_damaged_file);
            damage_.Update(status);
            return absl::OkStatus();
        }
        return status;
    }

    absl::Status check_size(const std::string& path, uint64_t expected) {
        const auto size = files_.file_size(path);
        if (absl::IsNotFound(size.status())) {
            STARLING_MARK(recovery_table_missing);
            return missing_file(path);
        }
        STARLING_RETURN_IF_ERROR(size.status());
        return *size == expected ? absl::OkStatus() : wrong_size(path, *size, expected);
    }

    absl::Status replay_log() {
        if (state_.log.number == 0) {
            return absl::OkStatus();
        }
        std::vector<uint64_t> numbers;
        for (const Found& found : found_) {
            if (found.parsed.kind == FileKind::log && found.parsed.number >= state_.log.number) {
                numbers.push_back(found.parsed.number);
            }
        }
        std::sort(numbers.begin(), numbers.end());
        LogReplay replay(files_, directory_, state_.log, log_naming);
        STARLING_RETURN_IF_ERROR(replay.open(std::move(numbers)));
        for (;;) {
            auto memtable = std::make_shared<Memtable>(0);
            MemtableTarget target(*memtable, memtable_bytes_);
            STARLING_ASSIGN_OR_RETURN(const bool more, replay.fill(target));
            if (options_.read_only) {
                memtables_.push_back(std::move(memtable));
            } else {
                if (more) {
                    STARLING_MARK(recovery_fills_several_memtables);
                }
                STARLING_RETURN_IF_ERROR(flush(*memtable));
            }
            if (!more) {
                break;
            }
        }
        state_.log.flushed = replay.last_sequence();
        state_.log.position = replay.position();
        return absl::OkStatus();
    }

    absl::Status flush(const Memtable& memtable) {
        if (memtable.empty()) {
            return absl::OkStatus();
        }
        TableWriterOptions writer;
        writer.directory = directory_;
        writer.engine = options_;
        writer.next_file_number = [this] { return state_.next_file_number++; };
        writer.is_bottom = [](std::string_view) { return false; };
        writer.should_stop = [] { return false; };
        const auto entries = memtable.new_iterator();
        STARLING_ASSIGN_OR_RETURN(WrittenTables written,
                                  write_tables(files_, *entries, std::move(writer)));
        VersionEdit edit;
        for (TableMetadata& table : written.tables) {
            edit.added.push_back({.level = 0, .table = std::move(table)});
        }
        edit.value_files = std::move(written.value_files);
        edit.range_removals = memtable.range_removals();
        STARLING_ASSIGN_OR_RETURN(state_.version, state_.version->apply(edit));
        return absl::OkStatus();
    }

    // What this start has written, which nothing names yet: the next one may need its room.
    void remove_files_from(uint64_t number) {
        const auto names = files_.list(directory_);
        if (options_.read_only || !names.ok()) return;
        for (const std::string& name : *names) {
            const auto parsed = parse_file_name(name);
            if (!parsed.has_value() || parsed->number < number) continue;
            STARLING_MARK(recovery_removes_what_a_failed_start_wrote);
            files_.remove(fmt::format("{}/{}", directory_, name)).IgnoreError();
        }
    }

    absl::StatusOr<Recovered> begin() {
        Recovered recovered;
        recovered.last_sequence = state_.log.flushed;
        recovered.log_number = state_.next_file_number++;
        state_.log.number = recovered.log_number;
        recovered.log = std::make_unique<Log>(Log::Options{.directory = directory_,
                                                           .file_bytes_expected = memtable_bytes_,
                                                           .number = recovered.log_number,
                                                           .position = state_.log.position,
                                                           .recycle = options_.recycle_logs,
                                                           .joined_bytes_max = joined_bytes_max,
                                                           .naming = log_naming},
                                              files_);
        STARLING_RETURN_IF_ERROR(recovered.log->make_files());
        recovered.memtables = {std::make_shared<Memtable>(recovered.log_number)};
        recovered.catalog = std::make_unique<Catalog>(files_, directory_);
        STARLING_RETURN_IF_ERROR(recovered.catalog->begin(state_));
        // All other files that were there before belong to the past.
        for (const Found& found : found_) {
            if (!state_.version->names_file(found.parsed.kind, found.parsed.number)) {
                if (found.parsed.kind == FileKind::table) {
                    STARLING_MARK(recovery_removes_orphan_table);
                }
                STARLING_MARK(recovery_removes_orphan);
                recovered.catalog->retire(fmt::format("{}/{}", directory_, found.name));
            }
        }
        recovered.catalog->remove_unused_files();
        return recovered;
    }

    absl::StatusOr<Recovered> begin_read_only() {
        Recovered recovered;
        recovered.last_sequence = state_.log.flushed;
        recovered.log_number = state_.next_file_number;
        recovered.memtables = std::move(memtables_);
        recovered.memtables.push_back(std::make_shared<Memtable>(recovered.log_number));
        recovered.log = std::make_unique<Log>(Log::Options{.directory = directory_,
                                                           .number = recovered.log_number,
                                                           .position = state_.log.position,
                                                           .naming = log_naming},
                                              files_);
        recovered.catalog = std::make_unique<Catalog>(files_, directory_);
        recovered.catalog->begin_read_only(state_);
        return recovered;
    }

    env::FileSystem& files_;
    const std::string& directory_;
    const EngineOptions& options_;
    const uint64_t memtable_bytes_;
    std::vector<Found> found_;
    ManifestState state_;
    std::vector<std::shared_ptr<Memtable>> memtables_;
    absl::Status damage_;
};

}  // namespace

absl::StatusOr<Recovered> recover(env::FileSystem& files,
                                  const std::string& directory,
                                  const EngineOptions& options,
                                  uint64_t memtable_bytes) {
    return Recovery(files, directory, options, memtable_bytes).run();
}

}  // namespace starling::storage::lsm
