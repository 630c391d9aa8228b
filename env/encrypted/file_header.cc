#include "env/encrypted/file_header.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/encrypted/segment.h"

namespace starling::env {

namespace {

constexpr std::string_view magic = file_header_magic;
constexpr uint16_t format_version = 1;
constexpr size_t checksum_bytes = 4;

// All that stands before the wrapped key: it is wrapped for this file, this purpose and this master
// key only.
std::string encode_start(FileHeaderKind kind, MasterKeyId master, const FileId& id) {
    std::string bytes(magic);
    base::put_u16(bytes, format_version);
    base::put_u16(bytes, static_cast<uint16_t>(kind));
    base::put_u32(bytes, segment_plain_bytes);
    base::put_u64(bytes, master.value);
    bytes.append(id.data(), id.size());
    return bytes;
}

}  // namespace

std::string wrap(FileHeaderKind kind,
                 const FileKey& key,
                 const MasterKey& master,
                 SharedRandom& random) {
    std::string bytes = encode_start(kind, master.id(), key.id);
    FileHeader header;
    char* const nonce = header.wrapped.data();
    char* const cipher = nonce + nonce_bytes;
    random.fill(nonce, nonce_bytes);
    Gcm(master.key(), Gcm::Direction::seal)
        .seal(nonce, bytes, key.data_key.bytes(), cipher, cipher + secret_key_bytes);
    bytes.append(header.wrapped.data(), header.wrapped.size());
    base::put_u32(bytes, base::crc32c(bytes));
    STARLING_CHECK(bytes.size() == file_header_bytes);
    return bytes;
}

std::optional<SecretKey> unwrap(const FileHeader& header, const MasterKey& master) {
    const char* const nonce = header.wrapped.data();
    const char* const cipher = nonce + nonce_bytes;
    std::array<char, secret_key_bytes> plain{};
    std::optional<SecretKey> key;
    if (Gcm(master.key(), Gcm::Direction::open)
            .open(nonce,
                  encode_start(header.kind, header.master, header.id),
                  {cipher, secret_key_bytes},
                  cipher + secret_key_bytes,
                  plain.data())) {
        key.emplace(std::string_view(plain.data(), plain.size()));
        OPENSSL_cleanse(plain.data(), plain.size());
    }
    return key;
}

absl::StatusOr<FileHeader> decode_file_header(std::string_view bytes,
                                              FileHeaderKind kind,
                                              const std::string& path) {
    STARLING_CHECK(bytes.size() == file_header_bytes);
    const std::string_view covered = bytes.substr(0, file_header_bytes - checksum_bytes);
    base::Reader reader(bytes);
    const bool named = reader.take(magic.size()) == magic;
    const uint16_t version = reader.u16();
    const uint16_t found_kind = reader.u16();
    const uint32_t segment_size = reader.u32();
    FileHeader header;
    header.kind = kind;
    header.master.value = reader.u64();
    std::ranges::copy(reader.take(file_id_bytes), header.id.begin());
    std::ranges::copy(reader.take(header.wrapped.size()), header.wrapped.begin());
    // As if the magic were right: a header of which only that is damaged is still one.
    const bool intact =
        reader.u32() == base::crc32c_extend(base::crc32c(magic), covered.substr(magic.size()));
    if (!named && !intact) {
        return absl::FailedPreconditionError(
            fmt::format("{}: is not encrypted (it does not begin with a header): it was written "
                        "without this layer, or is no file of ours",
                        path));
    }
    if (!named || !intact) {
        return absl::DataLossError(
            fmt::format("{}: at offset 0: the header of the encrypted file is damaged", path));
    }
    if (version != format_version || segment_size != segment_plain_bytes) {
        return absl::FailedPreconditionError(
            fmt::format("{}: encrypted in format {} with segments of {} bytes, which this version "
                        "does not know",
                        path,
                        version,
                        segment_size));
    }
    if (found_kind != static_cast<uint16_t>(kind)) {
        return absl::FailedPreconditionError(
            fmt::format("{}: a file's key, where a file belongs, or the other way round", path));
    }
    return header;
}

}  // namespace starling::env
