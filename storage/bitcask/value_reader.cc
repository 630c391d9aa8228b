#include "storage/bitcask/value_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/bitcask/file_names.h"

namespace starling::storage::bitcask {

absl::StatusOr<std::string> ValueReader::read(std::string_view key, const Location& location) {
    std::string value(location.size, '\0');
    STARLING_ASSIGN_OR_RETURN(const auto file, open(location.file));
    STARLING_ASSIGN_OR_RETURN(size_t count,
                              file->read(location.offset, value.size(), value.data()));
    if (count != value.size()) {
        // A handle may show the file as it was when it was opened, and files grow.
        forget(location.file);
        STARLING_ASSIGN_OR_RETURN(const auto reopened, open(location.file));
        STARLING_ASSIGN_OR_RETURN(count,
                                  reopened->read(location.offset, value.size(), value.data()));
    }
    if (count != value.size() || value_checksum(key, value) != location.checksum) {
        return absl::DataLossError(fmt::format("{}: at offset {}: a value of {} bytes is damaged",
                                               data_path(directory_, location.file),
                                               location.offset,
                                               location.size));
    }
    return value;
}

absl::StatusOr<std::shared_ptr<const env::RandomAccessFile>> ValueReader::open(uint64_t number) {
    {
        absl::MutexLock lock(&mutex_);
        if (const auto found = open_.find(number); found != open_.end()) {
            found->second.last_used = ++uses_;
            return found->second.file;
        }
    }
    const std::string path = data_path(directory_, number);
    auto opened = files_.open_for_read(path);
    if (absl::IsNotFound(opened.status())) {
        return absl::DataLossError(fmt::format("{} is missing", path));
    }
    STARLING_RETURN_IF_ERROR(opened.status());
    std::shared_ptr<const env::RandomAccessFile> file = *std::move(opened);
    absl::MutexLock lock(&mutex_);
    make_room();
    open_[number] = {.file = file, .last_used = ++uses_};
    return file;
}

void ValueReader::make_room() {
    while (open_.size() >= open_files_max_) {
        open_.erase(std::min_element(open_.begin(), open_.end(), [](const auto& a, const auto& b) {
            return a.second.last_used < b.second.last_used;
        }));
    }
}

void ValueReader::forget(uint64_t number) {
    absl::MutexLock lock(&mutex_);
    open_.erase(number);
}

}  // namespace starling::storage::bitcask
