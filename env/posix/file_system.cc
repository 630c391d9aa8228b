#include "env/posix/file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/status_macros.h"
#include "env/posix/direct_files.h"
#include "env/posix/file_error.h"
#include "env/posix/file_handles.h"

namespace starling::env {

namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

// What a file system says to O_DIRECT that knows only the cache of pages. (Where the path itself is
// wrong, opening it once more says so again.)
bool has_no_direct_way(const absl::Status& opened) {
    return absl::IsInvalidArgument(opened);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WritableFile>> PosixFileSystem::create(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file,
                              open_regular_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    return make_posix_writable(std::move(file), path, {});
}

absl::StatusOr<std::unique_ptr<WritableFile>> PosixFileSystem::create_streamed(
    const std::string& path) {
    absl::StatusOr<FileDescriptor> file =
        open_regular_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_DIRECT);
    if (has_no_direct_way(file.status())) {
        return create(path);
    }
    STARLING_RETURN_IF_ERROR(file.status());
    return make_posix_streamed_writable(*std::move(file), path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> PosixFileSystem::open_for_append(
    const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file,
                              open_regular_file(path, O_WRONLY | O_CREAT | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
        return file_error(errno, "stat", path);
    }
    const auto size = static_cast<uint64_t>(status.st_size);
    return make_posix_writable(std::move(file), path, {.size = size, .written = size});
}

absl::StatusOr<std::unique_ptr<WritableFile>> PosixFileSystem::recycle(const std::string& from,
                                                                       const std::string& to) {
    STARLING_RETURN_IF_ERROR(rename(from, to));
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file, open_regular_file(to, O_WRONLY | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
        return file_error(errno, "stat", to);
    }
    return make_posix_writable(
        std::move(file), to, {.size = static_cast<uint64_t>(status.st_size), .written = 0});
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> PosixFileSystem::open_for_read(
    const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file, open_regular_file(path, O_RDONLY));
    return make_posix_readable(std::move(file), path);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> PosixFileSystem::open_for_direct_read(
    const std::string& path) {
    absl::StatusOr<FileDescriptor> file = open_regular_file(path, O_RDONLY | O_DIRECT);
    if (has_no_direct_way(file.status())) {
        return open_for_read(path);
    }
    STARLING_RETURN_IF_ERROR(file.status());
    return make_posix_direct_readable(*std::move(file), path);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> PosixFileSystem::open_streamed(
    const std::string& path, size_t piece_bytes) {
    absl::StatusOr<FileDescriptor> file = open_regular_file(path, O_RDONLY | O_DIRECT);
    if (has_no_direct_way(file.status())) {
        return open_for_read(path);
    }
    STARLING_RETURN_IF_ERROR(file.status());
    return make_posix_streamed_readable(*std::move(file), path, piece_bytes);
}

absl::StatusOr<bool> PosixFileSystem::exists(const std::string& path) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0) {
        return true;
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        return false;
    }
    return file_error(errno, "stat", path);
}

absl::StatusOr<uint64_t> PosixFileSystem::file_size(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        return file_error(errno, "stat", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return absl::InvalidArgumentError(fmt::format("{}: stat: not a regular file", path));
    }
    return static_cast<uint64_t>(status.st_size);
}

absl::StatusOr<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
    const std::unique_ptr<DIR, CloseDirectory> stream(::opendir(directory.c_str()));
    if (stream == nullptr) {
        return file_error(errno, "list", directory);
    }
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    if (errno != 0) {
        return file_error(errno, "list", directory);
    }
    std::sort(names.begin(), names.end());
    return names;
}

absl::Status PosixFileSystem::create_directory(const std::string& path) {
    if (::mkdir(path.c_str(), S_IRWXU) == 0) {
        return absl::OkStatus();
    }
    const int error = errno;
    struct stat status{};
    if (error == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
        return absl::OkStatus();
    }
    return file_error(error, "create directory", path);
}

absl::Status PosixFileSystem::remove(const std::string& path) {
    return std::remove(path.c_str()) == 0 ? absl::OkStatus() : file_error(errno, "remove", path);
}

absl::Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
    return ::rename(from.c_str(), to.c_str()) == 0
               ? absl::OkStatus()
               : file_error(errno, fmt::format("rename to {}", to), from);
}

absl::Status PosixFileSystem::link(const std::string& from, const std::string& to) {
    return ::link(from.c_str(), to.c_str()) == 0
               ? absl::OkStatus()
               : file_error(errno, fmt::format("link to {}", from), to);
}

absl::Status PosixFileSystem::truncate(const std::string& path, uint64_t size) {
    STARLING_ASSIGN_OR_RETURN(const FileDescriptor file,
                              open_regular_file(path, O_WRONLY | O_NOFOLLOW));
    while (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
        if (errno != EINTR) {
            return file_error(errno, "truncate", path, size);
        }
    }
    return absl::OkStatus();
}

absl::Status PosixFileSystem::sync_directory(const std::string& path) {
    const FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.get() < 0) {
        return file_error(errno, "open directory", path);
    }
    while (::fsync(directory.get()) != 0) {
        if (errno != EINTR) {
            return file_error(errno, "sync directory", path);
        }
    }
    return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> PosixFileSystem::lock(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file,
                              open_regular_file(path, O_RDWR | O_CREAT | O_NOFOLLOW));
    return lock_file(std::move(file), path, LockKind::exclusive);
}

absl::StatusOr<std::unique_ptr<FileLock>> PosixFileSystem::lock_shared(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileDescriptor file, open_regular_file(path, O_RDONLY | O_NOFOLLOW));
    return lock_file(std::move(file), path, LockKind::shared);
}

absl::StatusOr<uint64_t> PosixFileSystem::free_bytes(const std::string& path) {
    struct statvfs status{};
    while (::statvfs(path.c_str(), &status) != 0) {
        if (errno != EINTR) {
            return file_error(errno, "free space", path);
        }
    }
    return uint64_t{status.f_bavail} * status.f_frsize;
}

}  // namespace starling::env
