#include "base/hmac.h"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace starling::base {

HmacTag hmac_sha256(std::string_view secret, std::string_view message) {
    HmacTag tag{};
    unsigned int size = 0;
    const unsigned char* result = HMAC(EVP_sha256(),
                                       secret.data(),
                                       static_cast<int>(secret.size()),
                                       reinterpret_cast<const unsigned char*>(message.data()),
                                       message.size(),
                                       tag.data(),
                                       &size);
    STARLING_CHECK(result != nullptr && size == tag.size());
    return tag;
}

namespace {

constexpr size_t block_bytes = 64;

struct Digest {
    Digest() : context(EVP_MD_CTX_new()) { STARLING_CHECK(context != nullptr); }
    ~Digest() { EVP_MD_CTX_free(context); }
    Digest(const Digest&) = delete;
    Digest& operator=(const Digest&) = delete;

    void begin() { STARLING_CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
    void go_on_from(const Digest& other) {
        STARLING_CHECK(EVP_MD_CTX_copy_ex(context, other.context) == 1);
    }
    void add(const void* bytes, size_t size) {
        STARLING_CHECK(EVP_DigestUpdate(context, bytes, size) == 1);
    }
    HmacTag end() {
        HmacTag result{};
        unsigned int size = 0;
        STARLING_CHECK(EVP_DigestFinal_ex(context, result.data(), &size) == 1);
        STARLING_CHECK(size == result.size());
        return result;
    }

    EVP_MD_CTX* const context;
};

}  // namespace

// RFC 2104: H(outer block, H(inner block, message)); the two after their blocks.
struct HmacKey::State {
    Digest inner;
    Digest outer;
};

HmacKey::HmacKey(std::string_view secret)
    : state_([secret] {
          auto state = std::make_unique<State>();
          std::array<uint8_t, block_bytes> key{};
          if (secret.size() > block_bytes) {
              Digest digest;
              digest.begin();
              digest.add(secret.data(), secret.size());
              const HmacTag shorter = digest.end();
              std::copy(shorter.begin(), shorter.end(), key.begin());
          } else {
              std::copy(secret.begin(), secret.end(), key.begin());
          }
          const auto begin = [&key](Digest& digest, uint8_t padding) {
              std::array<uint8_t, block_bytes> block = key;
              for (uint8_t& byte : block) {
                  byte ^= padding;
              }
              digest.begin();
              digest.add(block.data(), block.size());
              OPENSSL_cleanse(block.data(), block.size());
          };
          begin(state->inner, 0x36);
          begin(state->outer, 0x5c);
          OPENSSL_cleanse(key.data(), key.size());
          return state;
      }()) {}

HmacKey::~HmacKey() = default;

HmacTag HmacKey::tag_of(std::string_view message) const {
    Digest digest;
    digest.go_on_from(state_->inner);
    digest.add(message.data(), message.size());
    const HmacTag inside = digest.end();
    digest.go_on_from(state_->outer);
    digest.add(inside.data(), inside.size());
    return digest.end();
}

bool equal_constant_time(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace starling::base
