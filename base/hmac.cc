#include "base/hmac.h"

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

bool equal_constant_time(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace starling::base
