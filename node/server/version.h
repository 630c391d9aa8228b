#pragma once

#include <string_view>

namespace starling::node {

inline constexpr std::string_view software_version = "0.1.0";

}  // namespace starling::node
