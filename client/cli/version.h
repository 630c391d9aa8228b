#pragma once

#include <string_view>

namespace starling::client {

inline constexpr std::string_view software_version = "0.1.0";

}  // namespace starling::client
