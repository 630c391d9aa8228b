#pragma once

// CRC-32C (Castagnoli), the checksum of files and frames.

#include <cstdint>
#include <string_view>

namespace starling::base {

// The checksum of the concatenation of what `crc` covers and `bytes`.
uint32_t crc32c_extend(uint32_t crc, std::string_view bytes);

inline uint32_t crc32c(std::string_view bytes) {
    return crc32c_extend(0, bytes);
}

}  // namespace starling::base
