#include "env/file_system.h"

#include <fmt/format.h>

#include "base/status_macros.h"

namespace starling::env {

namespace {

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) {
        return ".";
    }
    return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status write_and_sync(FileSystem& files, const std::string& path, std::string_view content) {
    STARLING_ASSIGN_OR_RETURN(auto file, files.create(path));
    STARLING_RETURN_IF_ERROR(file->append(content));
    STARLING_RETURN_IF_ERROR(file->sync());
    return file->close();
}

}  // namespace

absl::StatusOr<std::string> read_file(FileSystem& files,
                                      const std::string& path,
                                      uint64_t bytes_max) {
    STARLING_ASSIGN_OR_RETURN(const auto file, files.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    if (size > bytes_max) {
        return absl::OutOfRangeError(
            fmt::format("{}: has {} bytes, at most {} are allowed", path, size, bytes_max));
    }
    std::string content(size, '\0');
    STARLING_ASSIGN_OR_RETURN(const size_t count, file->read(0, content.size(), content.data()));
    content.resize(count);
    return content;
}

absl::Status replace_file(FileSystem& files, const std::string& path, std::string_view content) {
    const std::string temporary = path + ".tmp";
    absl::Status status = write_and_sync(files, temporary, content);
    if (status.ok()) {
        status = files.rename(temporary, path);
    }
    if (!status.ok()) {
        // Best effort: a remnant is overwritten by the next try, but on a full disk its space
        // counts.
        files.remove(temporary).IgnoreError();
        return status;
    }
    return files.sync_directory(parent_of(path));
}

}  // namespace starling::env
