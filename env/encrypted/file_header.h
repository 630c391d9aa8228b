#pragma once

// The header of an encrypted file, and the key file beside it that counts instead after a change of
// the master key: both name the file and carry its data key, wrapped (docs/formats/
// encrypted_file.md).

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "env/encrypted/cipher.h"
#include "env/encrypted/master_key.h"
#include "env/file_system.h"

namespace starling::env {

inline constexpr size_t file_header_bytes = 104;
inline constexpr size_t file_id_bytes = 16;
inline constexpr std::string_view file_header_magic = encrypted_file_magic;

enum class FileHeaderKind : uint16_t { file = 1, key_file = 2 };

using FileId = std::array<char, file_id_bytes>;

// What opens one file.
struct FileKey {
    FileId id;
    SecretKey data_key;
};

struct FileHeader {
    FileHeaderKind kind = FileHeaderKind::file;
    MasterKeyId master;
    FileId id{};
    // Nonce, wrapped key, tag.
    std::array<char, nonce_bytes + secret_key_bytes + tag_bytes> wrapped{};
};

std::string wrap(FileHeaderKind kind,
                 const FileKey& key,
                 const MasterKey& master,
                 SharedRandom& random);
// None when the key was not wrapped by `master`, or not for this file.
std::optional<SecretKey> unwrap(const FileHeader& header, const MasterKey& master);

// data_loss: it was a header. failed_precondition: it is none, or one of a later version. `path` is
// for the message. REQUIRES: file_header_bytes of them.
absl::StatusOr<FileHeader> decode_file_header(std::string_view bytes,
                                              FileHeaderKind kind,
                                              const std::string& path);

}  // namespace starling::env
