#pragma once

// AES-256-GCM, and what holds its keys.

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

#include "env/random.h"

// OpenSSL's, so that its headers stay out of ours.
struct evp_cipher_ctx_st;

namespace starling::env {

inline constexpr size_t secret_key_bytes = 32;
inline constexpr size_t nonce_bytes = 12;
inline constexpr size_t tag_bytes = 16;

// Does not stay in memory when it goes, and has no way into a message.
class SecretKey {
  public:
    // REQUIRES: secret_key_bytes of them.
    explicit SecretKey(std::string_view bytes);
    SecretKey(const SecretKey&) = default;
    SecretKey& operator=(const SecretKey&) = default;
    ~SecretKey();

    std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

  private:
    std::array<char, secret_key_bytes> bytes_;
};

// One key in one direction; setting it up costs as much as a few hundred bytes, so it is kept. Not
// thread-safe.
class Gcm {
  public:
    enum class Direction { seal, open };

    Gcm(const SecretKey& key, Direction direction);
    Gcm(const Gcm&) = delete;
    Gcm& operator=(const Gcm&) = delete;
    ~Gcm();

    // Writes plain.size() bytes to `cipher` and tag_bytes to `tag`. REQUIRES: a nonce that this key
    // has never had before; direction seal.
    void seal(const char* nonce,
              std::string_view associated,
              std::string_view plain,
              char* cipher,
              char* tag);
    // False, and zeros in `plain`, when anything is not what was sealed. REQUIRES: direction open.
    bool open(const char* nonce,
              std::string_view associated,
              std::string_view cipher,
              const char* tag,
              char* plain);

  private:
    evp_cipher_ctx_st* const context_;
};

// A Random that belongs to an object which several threads use.
class SharedRandom {
  public:
    explicit SharedRandom(Random& random) : random_(random) {}
    void fill(char* bytes, size_t count);

  private:
    absl::Mutex mutex_;
    Random& random_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::env
