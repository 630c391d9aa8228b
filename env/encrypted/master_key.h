#pragma once

// Master keys: each wraps the data keys of files, and never touches data itself.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "env/encrypted/cipher.h"
#include "env/file_system.h"

namespace starling::env {

// Follows from the key, so nobody has to number keys, and a wrong key is told from a damaged file.
struct MasterKeyId {
    uint64_t value = 0;
    friend auto operator<=>(const MasterKeyId&, const MasterKeyId&) = default;
};

// 16 hexadecimal digits.
std::string to_string(MasterKeyId id);

class MasterKey {
  public:
    explicit MasterKey(const SecretKey& key);

    MasterKeyId id() const { return id_; }
    const SecretKey& key() const { return key_; }

  private:
    SecretKey key_;
    MasterKeyId id_;
};

// The current key, which new files use, and those that older files may still need.
class KeyRing {
  public:
    explicit KeyRing(MasterKey current, std::vector<MasterKey> older = {});

    const MasterKey& current() const { return keys_.front(); }
    // nullptr: not here.
    const MasterKey* find(MasterKeyId id) const;

  private:
    std::vector<MasterKey> keys_;
};

// 64 hexadecimal digits, with or without white space around them: the value of an environment
// variable. `name` is for the message; the text never gets into it. invalid_argument.
absl::StatusOr<MasterKey> parse_master_key(std::string_view text, std::string_view name);

// A file of 32 bytes, or of 64 hexadecimal digits. failed_precondition: group or others may read
// it.
absl::StatusOr<MasterKey> load_master_key(FileSystem& files, const std::string& path);

// The environment variable that holds a master key as parse_master_key() takes it.
inline constexpr const char* master_key_variable = "STARLING_ENCRYPTION_KEY";

struct MasterKeyPlaces {
    // Of a key file; empty: none is named.
    std::string file;
    // nullopt: the variable is not set. One that is set and empty is a mistake, never "no key".
    std::optional<std::string> from_environment;
};

// The key of the first place that is named; nullopt: none is. Errors as above, and not_found.
absl::StatusOr<std::optional<MasterKey>> find_master_key(FileSystem& files,
                                                         const MasterKeyPlaces& places);

}  // namespace starling::env
