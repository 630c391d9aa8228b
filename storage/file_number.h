#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace starling::storage {

// Far above what a directory ever comes to; a stray name beyond it must not end the counter.
inline constexpr uint64_t file_number_max = uint64_t{1} << 56;

// nullopt: not a decimal number from 1 to file_number_max.
inline std::optional<uint64_t> parse_file_number(std::string_view digits) {
    uint64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || stop != end || number == 0 || number > file_number_max) {
        return std::nullopt;
    }
    return number;
}

}  // namespace starling::storage
