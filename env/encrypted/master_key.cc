#include "env/encrypted/master_key.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/hmac.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

constexpr size_t hex_digits = 2 * secret_key_bytes;
// Room for the digits and white space around them.
constexpr uint64_t key_file_bytes_max = 256;
constexpr mode_t others = S_IRWXG | S_IRWXO;

MasterKeyId id_of(const SecretKey& key) {
    const base::HmacTag tag = base::hmac_sha256(key.bytes(), "starling master key id 1");
    MasterKeyId id;
    std::memcpy(&id.value, tag.data(), sizeof(id.value));
    return id;
}

int digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const auto lower = static_cast<char>(absl::ascii_tolower(static_cast<unsigned char>(c)));
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string_view stripped(std::string_view text) {
    while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.front()))) {
        text.remove_prefix(1);
    }
    while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.back()))) {
        text.remove_suffix(1);
    }
    return text;
}

absl::StatusOr<MasterKey> checked(std::string_view bytes, std::string_view name) {
    // What a placeholder, a blank file or a broken generator gives.
    if (std::count(bytes.begin(), bytes.end(), bytes.front()) ==
        static_cast<ptrdiff_t>(bytes.size())) {
        return absl::InvalidArgumentError(
            fmt::format("{}: a master key of 32 equal bytes is none: draw a random one", name));
    }
    return MasterKey(SecretKey(bytes));
}

}  // namespace

std::string to_string(MasterKeyId id) {
    return fmt::format("{:016x}", id.value);
}

MasterKey::MasterKey(const SecretKey& key) : key_(key), id_(id_of(key_)) {}

KeyRing::KeyRing(MasterKey current, std::vector<MasterKey> older) {
    keys_.push_back(std::move(current));
    keys_.insert(keys_.end(), older.begin(), older.end());
}

const MasterKey* KeyRing::find(MasterKeyId id) const {
    const auto found = std::find_if(
        keys_.begin(), keys_.end(), [&](const MasterKey& key) { return key.id() == id; });
    return found == keys_.end() ? nullptr : &*found;
}

absl::StatusOr<MasterKey> parse_master_key(std::string_view text, std::string_view name) {
    const std::string_view digits = stripped(text);
    if (digits.size() != hex_digits ||
        std::any_of(digits.begin(), digits.end(), [](char c) { return digit(c) < 0; })) {
        return absl::InvalidArgumentError(
            fmt::format("{}: a master key is 64 hexadecimal digits", name));
    }
    char bytes[secret_key_bytes];
    for (size_t i = 0; i < secret_key_bytes; ++i) {
        bytes[i] = static_cast<char>(digit(digits[2 * i]) * 16 + digit(digits[2 * i + 1]));
    }
    auto key = checked({bytes, sizeof(bytes)}, name);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return key;
}

absl::StatusOr<MasterKey> load_master_key(FileSystem& files, const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && (info.st_mode & others) != 0) {
        return absl::FailedPreconditionError(
            fmt::format("{}: the master key may be read by others (mode {:04o}): chmod 600 it, and "
                        "change to a new one if it may have been read",
                        path,
                        info.st_mode & 07777));
    }
    STARLING_ASSIGN_OR_RETURN(std::string content, read_file(files, path, key_file_bytes_max));
    auto key = content.size() == secret_key_bytes ? checked(content, path)
                                                  : parse_master_key(content, path);
    OPENSSL_cleanse(content.data(), content.size());
    if (!key.ok()) {
        return absl::InvalidArgumentError(fmt::format("{}; a key file has those, or the 32 bytes",
                                                      std::string(key.status().message())));
    }
    return key;
}

absl::StatusOr<std::optional<MasterKey>> find_master_key(FileSystem& files,
                                                         const MasterKeyPlaces& places) {
    if (!places.file.empty()) {
        STARLING_ASSIGN_OR_RETURN(MasterKey key, load_master_key(files, places.file));
        return std::optional<MasterKey>(std::move(key));
    }
    if (places.from_environment.has_value()) {
        STARLING_ASSIGN_OR_RETURN(MasterKey key,
                                  parse_master_key(*places.from_environment, master_key_variable));
        return std::optional<MasterKey>(std::move(key));
    }
    return std::optional<MasterKey>();
}

}  // namespace starling::env
