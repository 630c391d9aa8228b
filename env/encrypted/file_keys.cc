#include "env/encrypted/file_keys.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "base/status_macros.h"
#include "env/encrypted/layout.h"

namespace starling::env {

namespace {

constexpr std::string_view key_file_suffix = ".filekey";
// What replace_file() adds.
constexpr std::string_view temporary_suffix = ".tmp";

std::string key_file_name(const FileId& id) {
    std::string name;
    for (const char byte : id) {
        name += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    }
    return name.append(key_file_suffix);
}

absl::Status unknown_master(const std::string& path, MasterKeyId id) {
    return absl::FailedPreconditionError(
        fmt::format("{}: encrypted under master key {}, which is not among the keys given",
                    path,
                    to_string(id)));
}

}  // namespace

std::string parent_directory(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) {
        return ".";
    }
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_key_file_name(std::string_view name) {
    if (name.ends_with(temporary_suffix)) {
        name.remove_suffix(temporary_suffix.size());
    }
    constexpr size_t digits = 2 * file_id_bytes;
    return name.size() == digits + key_file_suffix.size() && name.ends_with(key_file_suffix) &&
           name.find_first_not_of("0123456789abcdef") == digits;
}

bool is_key_file_path(std::string_view path) {
    const size_t slash = path.rfind('/');
    return is_key_file_name(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

void FileKeys::set_ring(KeyRing ring) {
    absl::MutexLock lock(&mutex_);
    ring_ = std::move(ring);
}

KeyRing FileKeys::ring() const {
    absl::MutexLock lock(&mutex_);
    return ring_;
}

FileKey FileKeys::make(std::string& header) const {
    FileId id;
    random_.fill(id.data(), id.size());
    std::array<char, secret_key_bytes> bytes;
    random_.fill(bytes.data(), bytes.size());
    FileKey key{.id = id, .data_key = SecretKey({bytes.data(), bytes.size()})};
    OPENSSL_cleanse(bytes.data(), bytes.size());
    header = wrap(FileHeaderKind::file, key, ring().current(), random_);
    return key;
}

absl::StatusOr<std::optional<FileHeader>> FileKeys::read_header(const std::string& path) const {
    STARLING_ASSIGN_OR_RETURN(const auto file, files_.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    return read_file_header(*file, size, path);
}

absl::StatusOr<std::optional<FileHeader>> FileKeys::read_key_file(const std::string& path) const {
    auto content = read_file(files_, path, file_header_bytes);
    if (absl::IsNotFound(content.status())) {
        return std::nullopt;
    }
    STARLING_RETURN_IF_ERROR(content.status());
    if (content->size() != file_header_bytes) {
        return absl::DataLossError(
            fmt::format("{}: at offset {}: the key file has {} bytes, not {}",
                        path,
                        content->size(),
                        content->size(),
                        file_header_bytes));
    }
    STARLING_ASSIGN_OR_RETURN(FileHeader header,
                              decode_file_header(*content, FileHeaderKind::key_file, path));
    return header;
}

absl::StatusOr<FileKey> FileKeys::open(const std::string& path, const FileHeader& header) const {
    const KeyRing ring = this->ring();
    const MasterKey* master = ring.find(header.master);
    FileHeader counts = header;
    std::string where = path;
    if (master == nullptr) {
        const std::string key_path = parent_directory(path) + "/" + key_file_name(header.id);
        STARLING_ASSIGN_OR_RETURN(const std::optional<FileHeader> key_file,
                                  read_key_file(key_path));
        if (!key_file.has_value()) {
            return unknown_master(path, header.master);
        }
        if (key_file->id != header.id) {
            return absl::DataLossError(
                fmt::format("{}: at offset 0: the key of another file than {}", key_path, path));
        }
        master = ring.find(key_file->master);
        if (master == nullptr) {
            return unknown_master(path, key_file->master);
        }
        counts = *key_file;
        where = key_path;
    }
    std::optional<SecretKey> data_key = unwrap(counts, *master);
    if (!data_key.has_value()) {
        return absl::DataLossError(
            fmt::format("{}: at offset 0: the wrapped key is damaged or forged (master key {})",
                        where,
                        to_string(counts.master)));
    }
    return FileKey{.id = header.id, .data_key = *std::move(data_key)};
}

absl::Status FileKeys::rewrap(const std::string& path) const {
    absl::ReaderMutexLock names(&names_mutex_);
    const KeyRing ring = this->ring();
    STARLING_ASSIGN_OR_RETURN(const std::optional<FileHeader> header, read_header(path));
    if (!header.has_value() || header->master == ring.current().id()) {
        return absl::OkStatus();
    }
    const std::string key_path = parent_directory(path) + "/" + key_file_name(header->id);
    const auto key_file = read_key_file(key_path);
    if (key_file.ok() && key_file->has_value() && (*key_file)->master == ring.current().id()) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(const FileKey key, open(path, *header));
    return replace_file(
        files_, key_path, wrap(FileHeaderKind::key_file, key, ring.current(), random_));
}

absl::Status FileKeys::carry(const std::string& from,
                             const std::string& to,
                             absl::FunctionRef<absl::Status()> act) const {
    absl::ReaderMutexLock names(&names_mutex_);
    STARLING_RETURN_IF_ERROR(carry_key(from, to));
    return act();
}

absl::Status FileKeys::carry_key(const std::string& from, const std::string& to) const {
    const std::string directory = parent_directory(to);
    if (parent_directory(from) == directory) {
        return absl::OkStatus();
    }
    // A directory, a plain file, a damaged one: whatever it is, it moves as it is.
    const auto header = read_header(from);
    if (!header.ok() || !header->has_value()) {
        return absl::OkStatus();
    }
    const std::string name = key_file_name((*header)->id);
    const auto content = read_file(files_, parent_directory(from) + "/" + name, file_header_bytes);
    if (absl::IsNotFound(content.status())) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(content.status());
    return replace_file(files_, directory + "/" + name, *content);
}

absl::Status FileKeys::remove_unused(const std::string& directory) const {
    absl::MutexLock no_new_names(&names_mutex_);
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(directory));
    std::set<std::string> used;
    std::vector<std::string> key_files;
    for (const std::string& name : names) {
        if (is_key_file_name(name)) {
            key_files.push_back(name);
            continue;
        }
        const auto header = read_header(fmt::format("{}/{}", directory, name));
        if (header.ok() && header->has_value()) {
            used.insert(key_file_name((*header)->id));
        } else if (!header.ok() && !absl::IsNotFound(header.status()) &&
                   !absl::IsInvalidArgument(header.status()) &&
                   !absl::IsFailedPrecondition(header.status())) {
            // Neither gone, nor a directory, nor a plain file: which key file it has nobody knows.
            return header.status();
        }
    }
    for (const std::string& name : key_files) {
        if (!used.contains(name)) {
            STARLING_RETURN_IF_ERROR(files_.remove(fmt::format("{}/{}", directory, name)));
        }
    }
    return absl::OkStatus();
}

}  // namespace starling::env
