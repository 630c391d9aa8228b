#include "env/encrypted/cipher.h"

#include <algorithm>
#include <cstring>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace starling::env {

namespace {

const unsigned char* octets(const char* bytes) {
    return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* octets(char* bytes) {
    return reinterpret_cast<unsigned char*>(bytes);
}

}  // namespace

SecretKey::SecretKey(std::string_view bytes) {
    STARLING_CHECK(bytes.size() == bytes_.size());
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

SecretKey::~SecretKey() {
    OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

// What OpenSSL refuses here is a bug of ours, or memory that is gone.
Gcm::Gcm(const SecretKey& key, Direction direction) : context_(EVP_CIPHER_CTX_new()) {
    STARLING_CHECK(context_ != nullptr);
    STARLING_CHECK(EVP_CipherInit_ex(context_,
                                     EVP_aes_256_gcm(),
                                     nullptr,
                                     octets(key.bytes().data()),
                                     nullptr,
                                     direction == Direction::seal ? 1 : 0) == 1);
    static_assert(nonce_bytes == 12, "what GCM expects unless it is told");
}

Gcm::~Gcm() {
    EVP_CIPHER_CTX_free(context_);
}

void Gcm::seal(const char* nonce,
               std::string_view associated,
               std::string_view plain,
               char* cipher,
               char* tag) {
    int count = 0;
    const bool done = EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, octets(nonce)) == 1 &&
                      EVP_EncryptUpdate(context_,
                                        nullptr,
                                        &count,
                                        octets(associated.data()),
                                        static_cast<int>(associated.size())) == 1 &&
                      (plain.empty() || EVP_EncryptUpdate(context_,
                                                          octets(cipher),
                                                          &count,
                                                          octets(plain.data()),
                                                          static_cast<int>(plain.size())) == 1) &&
                      EVP_EncryptFinal_ex(context_, octets(cipher), &count) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_GCM_GET_TAG, tag_bytes, tag) == 1;
    STARLING_CHECK_MSG(done, "AES-GCM refused to encrypt");
}

bool Gcm::open(const char* nonce,
               std::string_view associated,
               std::string_view cipher,
               const char* tag,
               char* plain) {
    int count = 0;
    char expected[tag_bytes];
    std::memcpy(expected, tag, tag_bytes);
    const bool prepared =
        EVP_DecryptInit_ex(context_, nullptr, nullptr, nullptr, octets(nonce)) == 1 &&
        EVP_DecryptUpdate(context_,
                          nullptr,
                          &count,
                          octets(associated.data()),
                          static_cast<int>(associated.size())) == 1 &&
        (cipher.empty() || EVP_DecryptUpdate(context_,
                                             octets(plain),
                                             &count,
                                             octets(cipher.data()),
                                             static_cast<int>(cipher.size())) == 1) &&
        EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_GCM_SET_TAG, tag_bytes, expected) == 1;
    STARLING_CHECK_MSG(prepared, "AES-GCM refused to decrypt");
    // Its output is the remainder of a block mode: none here.
    unsigned char rest[16];
    if (EVP_DecryptFinal_ex(context_, rest, &count) == 1) {
        return true;
    }
    std::fill_n(plain, cipher.size(), '\0');
    return false;
}

void SharedRandom::fill(char* bytes, size_t count) {
    absl::MutexLock lock(&mutex_);
    while (count > 0) {
        const uint64_t number = random_.next();
        const size_t part = std::min(count, sizeof(number));
        std::memcpy(bytes, &number, part);
        bytes += part;
        count -= part;
    }
}

}  // namespace starling::env
