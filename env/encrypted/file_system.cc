#include "env/encrypted/file_system.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "env/encrypted/reader.h"

namespace starling::env {

namespace {

absl::Status refuse_key_file(const std::string& path) {
    return is_key_file_path(path)
               ? absl::InvalidArgumentError(
                     fmt::format("{}: such a name is that of a file's key: choose another", path))
               : absl::OkStatus();
}

}  // namespace

struct EncryptedFileSystem::OpenedFile {
    std::unique_ptr<RandomAccessFile> file;
    uint64_t size = 0;
    // None: nothing was ever durable in it.
    std::optional<FileKey> key;
    Layout layout;
};

EncryptedFileSystem::EncryptedFileSystem(FileSystem& base, Random& random, KeyRing ring)
    : base_(base), random_(random), keys_(base, random_, std::move(ring)) {}

absl::StatusOr<EncryptedFileSystem::OpenedFile> EncryptedFileSystem::open(const std::string& path) {
    OpenedFile opened;
    STARLING_ASSIGN_OR_RETURN(opened.file, base_.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(opened.size, opened.file->size());
    STARLING_ASSIGN_OR_RETURN(const std::optional<FileHeader> header,
                              read_file_header(*opened.file, opened.size, path));
    if (header.has_value()) {
        STARLING_ASSIGN_OR_RETURN(opened.key, keys_.open(path, *header));
        SegmentOpener opener(*opened.key);
        STARLING_ASSIGN_OR_RETURN(opened.layout,
                                  find_layout(*opened.file, opened.size, opener, path));
    }
    return opened;
}

// A file that has nothing yet.
absl::StatusOr<std::unique_ptr<WritableFile>> EncryptedFileSystem::begin(
    std::unique_ptr<WritableFile> base, const std::string& path) {
    std::string header;
    const FileKey key = keys_.make(header);
    STARLING_RETURN_IF_ERROR(base->append(header));
    return std::make_unique<EncryptedWritableFile>(
        std::move(base), path, key, random_, WriterStart{});
}

absl::StatusOr<std::unique_ptr<WritableFile>> EncryptedFileSystem::create(const std::string& path) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(path));
    STARLING_ASSIGN_OR_RETURN(auto file, base_.create(path));
    return begin(std::move(file), path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> EncryptedFileSystem::create_streamed(
    const std::string& path) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(path));
    STARLING_ASSIGN_OR_RETURN(auto file, base_.create_streamed(path));
    return begin(std::move(file), path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> EncryptedFileSystem::recycle(const std::string& from,
                                                                           const std::string& to) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(to));
    STARLING_RETURN_IF_ERROR(keys_.carry(from, to, [&] { return base_.rename(from, to); }));
    STARLING_ASSIGN_OR_RETURN(auto file, base_.create(to));
    STARLING_ASSIGN_OR_RETURN(auto encrypted, begin(std::move(file), to));
    // With the old header and some new segments a crash would leave what looks like damage.
    STARLING_RETURN_IF_ERROR(encrypted->sync());
    return encrypted;
}

// Cuts a file of `size` bytes to where the writer starts, if it is longer.
absl::StatusOr<std::unique_ptr<EncryptedWritableFile>> EncryptedFileSystem::continue_at(
    const std::string& path, const FileKey& key, const WriterStart& start, uint64_t size) {
    const bool cut = size > start.position;
    if (cut) {
        STARLING_RETURN_IF_ERROR(base_.truncate(path, start.position));
    }
    STARLING_ASSIGN_OR_RETURN(auto file, base_.open_for_append(path));
    auto writer =
        std::make_unique<EncryptedWritableFile>(std::move(file), path, key, random_, start);
    if (cut) {
        // Else a segment of the part that was cut could come back behind new ones, and fit.
        STARLING_RETURN_IF_ERROR(writer->sync());
    }
    return writer;
}

absl::StatusOr<std::unique_ptr<WritableFile>> EncryptedFileSystem::open_for_append(
    const std::string& path) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(path));
    auto opened = open(path);
    if (absl::IsNotFound(opened.status())) {
        STARLING_ASSIGN_OR_RETURN(auto file, base_.open_for_append(path));
        return begin(std::move(file), path);
    }
    STARLING_RETURN_IF_ERROR(opened.status());
    if (!opened->key.has_value()) {
        return create(path);
    }
    const Layout& layout = opened->layout;
    return continue_at(path,
                       *opened->key,
                       {.position = layout.end(),
                        .plain_size = layout.plain_size(),
                        .durable = layout.durable(),
                        .uniform = layout.is_uniform(),
                        .sealed = layout.sealed()},
                       opened->size);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> EncryptedFileSystem::open_for_read(
    const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(OpenedFile opened, open(path));
    return reader_of(std::move(opened), path);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> EncryptedFileSystem::open_streamed(
    const std::string& path, size_t piece_bytes) {
    STARLING_ASSIGN_OR_RETURN(OpenedFile opened, open(path));
    STARLING_ASSIGN_OR_RETURN(opened.file, base_.open_streamed(path, piece_bytes));
    return reader_of(std::move(opened), path);
}

std::unique_ptr<RandomAccessFile> EncryptedFileSystem::reader_of(OpenedFile opened,
                                                                 const std::string& path) {
    // Nothing is read of a file without content, so any key does.
    const FileKey key = opened.key.value_or(
        FileKey{.id = {}, .data_key = SecretKey(std::string(secret_key_bytes, '\0'))});
    return std::make_unique<EncryptedRandomAccessFile>(
        std::move(opened.file), path, key, std::move(opened.layout));
}

absl::StatusOr<uint64_t> EncryptedFileSystem::file_size(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(const OpenedFile opened, open(path));
    return opened.layout.plain_size();
}

absl::Status EncryptedFileSystem::truncate(const std::string& path, uint64_t size) {
    STARLING_ASSIGN_OR_RETURN(const OpenedFile opened, open(path));
    const Layout& layout = opened.layout;
    if (!opened.key.has_value() || size >= layout.plain_size()) {
        STARLING_ASSIGN_OR_RETURN(const auto file, open_for_append(path));
        const std::string zeros(segment_plain_bytes, '\0');
        for (uint64_t at = layout.plain_size(); at < size;) {
            const size_t part = std::min<uint64_t>(zeros.size(), size - at);
            STARLING_RETURN_IF_ERROR(file->append({zeros.data(), part}));
            at += part;
        }
        return file->close();
    }
    WriterStart start;
    if (size > 0) {
        const Piece last = layout.piece_at(size - 1);
        start.position = last.position_end();
        start.plain_size = last.plain_offset + last.length;
        start.uniform = layout.is_uniform();
    }
    STARLING_ASSIGN_OR_RETURN(const auto file, continue_at(path, *opened.key, start, opened.size));
    if (start.plain_size > size) {
        STARLING_RETURN_IF_ERROR(file->cut(size));
    }
    return file->close();
}

absl::StatusOr<bool> EncryptedFileSystem::is_encrypted(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(const auto file, base_.open_for_read(path));
    char bytes[file_header_bytes];
    STARLING_ASSIGN_OR_RETURN(const size_t count, file->read(0, sizeof(bytes), bytes));
    const std::string_view found(bytes, count);
    return count == file_header_bytes &&
           !absl::IsFailedPrecondition(
               decode_file_header(found, FileHeaderKind::file, path).status());
}

absl::StatusOr<std::vector<std::string>> EncryptedFileSystem::list(const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(std::vector<std::string> names, base_.list(directory));
    std::erase_if(names, is_key_file_name);
    return names;
}

absl::Status EncryptedFileSystem::remove(const std::string& path) {
    absl::Status status = base_.remove(path);
    if (!absl::IsFailedPrecondition(status)) {
        return status;
    }
    // A directory that looks empty from above may be in the way of its own removal.
    const auto names = base_.list(path);
    if (!names.ok() || !std::all_of(names->begin(), names->end(), is_key_file_name)) {
        return status;
    }
    for (const std::string& name : *names) {
        STARLING_RETURN_IF_ERROR(base_.remove(fmt::format("{}/{}", path, name)));
    }
    return base_.remove(path);
}

absl::Status EncryptedFileSystem::rename(const std::string& from, const std::string& to) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(to));
    return keys_.carry(from, to, [&] { return base_.rename(from, to); });
}

absl::Status EncryptedFileSystem::link(const std::string& from, const std::string& to) {
    STARLING_RETURN_IF_ERROR(refuse_key_file(to));
    return keys_.carry(from, to, [&] { return base_.link(from, to); });
}

absl::StatusOr<bool> EncryptedFileSystem::exists(const std::string& path) {
    return base_.exists(path);
}

absl::Status EncryptedFileSystem::create_directory(const std::string& path) {
    return base_.create_directory(path);
}

absl::Status EncryptedFileSystem::sync_directory(const std::string& path) {
    return base_.sync_directory(path);
}

absl::StatusOr<std::unique_ptr<FileLock>> EncryptedFileSystem::lock(const std::string& path) {
    return base_.lock(path);
}

absl::StatusOr<std::unique_ptr<FileLock>> EncryptedFileSystem::lock_shared(
    const std::string& path) {
    return base_.lock_shared(path);
}

absl::StatusOr<uint64_t> EncryptedFileSystem::free_bytes(const std::string& path) {
    return base_.free_bytes(path);
}

}  // namespace starling::env
