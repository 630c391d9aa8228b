#pragma once

// HMAC-SHA-256: proves that a message comes from a holder of the cluster's secret.

#include <array>
#include <cstdint>
#include <string_view>

namespace starling::base {

using HmacTag = std::array<uint8_t, 32>;

HmacTag hmac_sha256(std::string_view secret, std::string_view message);

// Compares without revealing, by its timing, where the two differ.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace starling::base
