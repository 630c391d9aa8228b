#include "storage/lsm/manifest.h"

#include <utility>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

constexpr uint64_t manifest_bytes_max = 1u << 30;
constexpr uint64_t current_bytes_max = 4096;

std::string encode_current(uint64_t number) {
    std::string text = fmt::format("manifest {:06}\n", number);
    text += fmt::format("checksum {:08x}\n", base::crc32c(text));
    return text;
}

absl::StatusOr<uint64_t> read_current(env::FileSystem& files, const std::string& path) {
    const auto text = env::read_file(files, path, current_bytes_max);
    if (absl::IsOutOfRange(text.status())) {
        return absl::DataLossError(fmt::format("{} is damaged: too long", path));
    }
    STARLING_RETURN_IF_ERROR(text.status());
    uint64_t number = 0;
    for (const char c : text->substr(0, text->find('\n'))) {
        if (c >= '0' && c <= '9') {
            number = number * 10 + static_cast<uint64_t>(c - '0');
        }
    }
    if (*text != encode_current(number)) {
        return absl::DataLossError(fmt::format("{} is damaged", path));
    }
    return number;
}

absl::Status damaged(const std::string& path, uint64_t offset, std::string_view why) {
    return absl::DataLossError(fmt::format("{}: at offset {}: {}", path, offset, why));
}

// Applies one record to what the records before it said.
absl::Status apply_record(std::string_view payload, ManifestState& state) {
    STARLING_ASSIGN_OR_RETURN(const VersionEdit edit, decode_version_edit(payload));
    STARLING_ASSIGN_OR_RETURN(state.version, state.version->apply(edit));
    state.next_file_number = edit.next_file_number;
    state.log = edit.log.value_or(state.log);
    return absl::OkStatus();
}

absl::StatusOr<ManifestState> replay(std::string_view content,
                                     uint64_t number,
                                     const std::string& path) {
    RecordReader reader(content, RecordFileKind::manifest, number);
    ManifestState state;
    state.manifest_number = number;
    state.version = std::make_shared<Version>();
    uint64_t count = 0;
    for (Record record; reader.next(record); ++count) {
        if (record.sequence != count) {
            return damaged(path, record.offset, "a version edit is missing");
        }
        if (absl::Status status = apply_record(record.payload, state); !status.ok()) {
            return damaged(path, record.offset, std::string(status.message()));
        }
    }
    // CURRENT names a manifest only after its first edit is durable.
    if (count == 0 || reader.durable_claimed_beyond(reader.offset(), 0) != 0) {
        STARLING_MARK(manifest_damaged);
        return damaged(path, reader.offset(), "a version edit is damaged");
    }
    return state;
}

}  // namespace

absl::Status Manifest::begin(uint64_t number, const VersionEdit& whole) {
    file_.reset();
    number_ = number;
    edit_count_ = 0;
    if (absl::Status status = write_file(whole); !status.ok()) {
        STARLING_MARK(manifest_not_begun);
        file_.reset();
        // Nothing names it, and there may be no room for the next try beside it.
        files_.remove(manifest_path(directory_, number)).IgnoreError();
        return status;
    }
    absl::Status status =
        env::replace_file(files_, current_path(directory_), encode_current(number));
    if (!status.ok()) {
        STARLING_MARK(manifest_not_begun);
        file_.reset();
    }
    return status;
}

absl::Status Manifest::write_file(const VersionEdit& whole) {
    STARLING_ASSIGN_OR_RETURN(file_, files_.create(manifest_path(directory_, number_)));
    const std::string header = encode_record_file_header(RecordFileKind::manifest, number_, 0);
    STARLING_RETURN_IF_ERROR(file_->append(header));
    end_ = header.size();
    STARLING_RETURN_IF_ERROR(write(whole));
    // The entry of the file must not be lost while CURRENT names it.
    return STARLING_PLANTED(missing_directory_sync) ? absl::OkStatus()
                                                    : files_.sync_directory(directory_);
}

absl::Status Manifest::append(const VersionEdit& edit) {
    return write(edit);
}

absl::Status Manifest::write(const VersionEdit& edit) {
    std::string record;
    append_record(record, edit_count_, end_, encode_version_edit(edit));
    seal_records(record.data(), record.data() + record.size(), number_, end_);
    absl::Status status = file_->append(record);
    if (status.ok() && !STARLING_PLANTED(manifest_not_synced)) {
        status = file_->sync();
    }
    if (!status.ok()) {
        STARLING_MARK(manifest_edit_not_written);
        file_.reset();
        return status;
    }
    end_ += record.size();
    ++edit_count_;
    return absl::OkStatus();
}

absl::StatusOr<std::optional<ManifestState>> read_manifest(env::FileSystem& files,
                                                           const std::string& directory) {
    const std::string current = current_path(directory);
    STARLING_ASSIGN_OR_RETURN(const bool exists, files.exists(current));
    if (!exists) {
        return std::optional<ManifestState>();
    }
    STARLING_ASSIGN_OR_RETURN(const uint64_t number, read_current(files, current));
    const std::string path = manifest_path(directory, number);
    const auto content = env::read_file(files, path, manifest_bytes_max);
    if (absl::IsNotFound(content.status())) {
        return absl::DataLossError(fmt::format("{} is missing, but {} names it", path, current));
    }
    STARLING_RETURN_IF_ERROR(content.status());
    STARLING_ASSIGN_OR_RETURN(ManifestState state, replay(*content, number, path));
    return std::optional<ManifestState>(std::move(state));
}

}  // namespace starling::storage::lsm
