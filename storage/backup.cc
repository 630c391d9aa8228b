#include "storage/backup.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "base/status_macros.h"
#include "storage/build_directory.h"
#include "storage/destroy.h"
#include "storage/directory.h"
#include "storage/engine_files.h"

namespace starling::storage {

namespace {

constexpr std::string_view title = "starling backup\nformat 1\n";
constexpr uint64_t list_bytes_max = 64u << 20;
constexpr size_t chunk_bytes = 1u << 20;
// Of a backup's name, until it has its list.
constexpr std::string_view unlisted_suffix = ".unlisted";

struct FileSum {
    uint64_t bytes = 0;
    uint32_t checksum = 0;
};
using FileList = std::map<std::string, FileSum>;

std::string path_in(const std::string& directory, std::string_view name) {
    return fmt::format("{}/{}", directory, name);
}

// Reads all of `path`, handing each piece to `take`.
template <typename Take>
absl::StatusOr<FileSum> read_all(env::FileSystem& files, const std::string& path, Take&& take) {
    STARLING_ASSIGN_OR_RETURN(const auto file, files.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    std::string chunk(std::min<uint64_t>(chunk_bytes, size + 1), '\0');
    FileSum sum;
    for (;;) {
        STARLING_ASSIGN_OR_RETURN(const size_t count,
                                  file->read(sum.bytes, chunk.size(), chunk.data()));
        if (count == 0) {
            return sum;
        }
        const std::string_view piece = std::string_view(chunk).substr(0, count);
        sum.bytes += count;
        sum.checksum = base::crc32c_extend(sum.checksum, piece);
        STARLING_RETURN_IF_ERROR(take(piece));
    }
}

absl::StatusOr<FileSum> sum_of(env::FileSystem& files, const std::string& path) {
    return read_all(files, path, [](std::string_view) { return absl::OkStatus(); });
}

// The lock is nobody's data, and the list does not list itself.
bool is_listed(std::string_view name) {
    return name != lock_file_name && name != backup_list_name;
}

std::string encode(const FileList& list) {
    std::string text(title);
    for (const auto& [name, sum] : list) {
        text += fmt::format("file {} {:08x} {}\n", sum.bytes, sum.checksum, name);
    }
    text += fmt::format("checksum {:08x}\n", base::crc32c(text));
    return text;
}

template <typename Number>
bool take_number(std::string_view& line, int base, Number& number) {
    const auto [stop, error] =
        std::from_chars(line.data(), line.data() + line.size(), number, base);
    const auto length = static_cast<size_t>(stop - line.data());
    if (error != std::errc() || length >= line.size() || *stop != ' ') {
        return false;
    }
    line.remove_prefix(length + 1);
    return true;
}

bool decode(std::string_view text, FileList& list) {
    if (!text.starts_with(title)) {
        return false;
    }
    for (std::string_view rest = text.substr(title.size()); !rest.empty();) {
        std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (rest.empty()) {
            break;
        }
        constexpr std::string_view tag = "file ";
        FileSum sum;
        if (!line.starts_with(tag)) {
            return false;
        }
        line.remove_prefix(tag.size());
        if (!take_number(line, 10, sum.bytes) || !take_number(line, 16, sum.checksum) ||
            line.empty() || line == "." || line == ".." ||
            line.find('/') != std::string_view::npos) {
            return false;
        }
        list.emplace(line, sum);
    }
    // What was understood and is written the same way is what was read, checksum included.
    return encode(list) == text;
}

absl::StatusOr<FileList> read_list(env::FileSystem& files, const std::string& directory) {
    const std::string path = path_in(directory, backup_list_name);
    const auto text = env::read_file(files, path, list_bytes_max);
    if (absl::IsNotFound(text.status())) {
        return absl::NotFoundError(fmt::format("{} is no backup: {} is missing", directory, path));
    }
    FileList list;
    if (absl::IsOutOfRange(text.status()) || (text.ok() && !decode(*text, list))) {
        return absl::DataLossError(fmt::format("{} is damaged", path));
    }
    STARLING_RETURN_IF_ERROR(text.status());
    return list;
}

absl::Status check_sum(const std::string& path, const FileSum& found, const FileSum& listed) {
    if (found.bytes != listed.bytes) {
        return absl::DataLossError(fmt::format(
            "{}: has {} bytes, but was backed up with {}", path, found.bytes, listed.bytes));
    }
    if (found.checksum != listed.checksum) {
        return absl::DataLossError(
            fmt::format("{} is damaged: its checksum is {:08x}, but was backed up as {:08x}",
                        path,
                        found.checksum,
                        listed.checksum));
    }
    return absl::OkStatus();
}

absl::Status verify(env::FileSystem& files, const std::string& directory, const FileList& list) {
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    for (const std::string& name : names) {
        if (is_listed(name) && !list.contains(name)) {
            return absl::DataLossError(
                fmt::format("{} is no part of the backup", path_in(directory, name)));
        }
    }
    for (const auto& [name, listed] : list) {
        const std::string path = path_in(directory, name);
        const auto found = sum_of(files, path);
        if (absl::IsNotFound(found.status())) {
            return absl::DataLossError(fmt::format("{} of the backup is missing", path));
        }
        STARLING_RETURN_IF_ERROR(found.status());
        STARLING_RETURN_IF_ERROR(check_sum(path, *found, listed));
    }
    return absl::OkStatus();
}

absl::Status copy(env::FileSystem& files,
                  const std::string& from,
                  const std::string& to,
                  const FileSum& listed) {
    STARLING_ASSIGN_OR_RETURN(const auto file, files.create(to));
    STARLING_ASSIGN_OR_RETURN(
        const FileSum copied,
        read_all(files, from, [&](std::string_view piece) { return file->append(piece); }));
    STARLING_RETURN_IF_ERROR(check_sum(from, copied, listed));
    STARLING_RETURN_IF_ERROR(file->sync());
    return file->close();
}

// Data first, the engine's marker when the data is durable: data without a marker does not open.
absl::Status copy_all(env::FileSystem& files,
                      const std::string& from,
                      const std::string& to,
                      const FileList& list) {
    for (const bool marker : {false, true}) {
        for (const auto& [name, listed] : list) {
            if ((name == engine_marker_name) == marker) {
                STARLING_RETURN_IF_ERROR(
                    copy(files, path_in(from, name), path_in(to, name), listed));
            }
        }
        STARLING_RETURN_IF_ERROR(files.sync_directory(to));
    }
    return files.sync_directory(parent_of(to));
}

void remove_files(env::FileSystem& files, const std::string& directory, const FileList& list) {
    files.remove(path_in(directory, engine_marker_name)).IgnoreError();
    for (const auto& [name, listed] : list) {
        files.remove(path_in(directory, name)).IgnoreError();
    }
    files.remove(path_in(directory, backup_list_name)).IgnoreError();
    files.remove(directory).IgnoreError();
}

absl::Status write_list(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    FileList list;
    for (const std::string& name : names) {
        if (is_listed(name)) {
            STARLING_ASSIGN_OR_RETURN(list[name], sum_of(files, path_in(directory, name)));
        }
    }
    return env::replace_file(files, path_in(directory, backup_list_name), encode(list));
}

}  // namespace

absl::Status backup_engine(Engine& engine, env::FileSystem& files, const std::string& directory) {
    const std::string target = without_trailing_slashes(directory);
    const std::string partial = fmt::format("{}{}", target, unlisted_suffix);
    STARLING_RETURN_IF_ERROR(check_absent(files, target));
    STARLING_RETURN_IF_ERROR(destroy_engine(files, partial).status());
    STARLING_RETURN_IF_ERROR(engine.checkpoint(partial));
    // Keeps another backup of this name away, which would begin by destroying this one.
    STARLING_ASSIGN_OR_RETURN(auto lock, files.lock(path_in(partial, lock_file_name)));
    absl::Status status = write_list(files, partial);
    if (status.ok()) {
        status = check_absent(files, target);
    }
    if (!status.ok()) {
        lock.reset();
        destroy_engine(files, partial).IgnoreError();
        return status;
    }
    return publish_directory(files, partial, target);
}

absl::Status verify_backup(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const FileList list, read_list(files, directory));
    return verify(files, directory, list);
}

absl::Status restore_engine(env::FileSystem& files,
                            const std::string& directory,
                            const std::string& target) {
    STARLING_RETURN_IF_ERROR(check_absent(files, target));
    STARLING_ASSIGN_OR_RETURN(const FileList list, read_list(files, directory));
    STARLING_RETURN_IF_ERROR(verify(files, directory, list));
    STARLING_RETURN_IF_ERROR(files.create_directory(target));
    const absl::Status status = copy_all(files, directory, target, list);
    if (!status.ok()) {
        remove_files(files, target, list);
    }
    return status;
}

}  // namespace starling::storage
