#pragma once

// HMAC-SHA-256: proves that a message comes from a holder of the cluster's secret.

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

namespace starling::base {

using HmacTag = std::array<uint8_t, 32>;

HmacTag hmac_sha256(std::string_view secret, std::string_view message);

// A secret that many messages are tagged with: what depends on it alone is computed once. A tag of
// 200 bytes takes 0.5 us where hmac_sha256() takes 3.2 (OpenSSL 3.0). Thread-safe.
class HmacKey {
  public:
    explicit HmacKey(std::string_view secret);
    ~HmacKey();
    HmacKey(const HmacKey&) = delete;
    HmacKey& operator=(const HmacKey&) = delete;

    // As hmac_sha256() with the secret.
    HmacTag tag_of(std::string_view message) const;

  private:
    struct State;
    const std::unique_ptr<const State> state_;
};

// Compares without revealing, by its timing, where the two differ.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace starling::base
