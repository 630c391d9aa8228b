#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace starling::storage {

// nullopt: not a decimal number above 0.
inline std::optional<uint64_t> parse_file_number(std::string_view digits) {
    uint64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || stop != end || number == 0) {
        return std::nullopt;
    }
    return number;
}

}  // namespace starling::storage
