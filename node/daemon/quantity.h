#pragma once

// Numbers with units, as people write them in a configuration: "512MiB", "250ms".

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.h"

namespace starling::node {

// A whole number followed by B, KiB, MiB, GiB, KB, MB or GB. Nothing when it is not that, or too
// large.
std::optional<uint64_t> parse_bytes(std::string_view text);
// A whole number followed by ms, s, m or h.
std::optional<base::Duration> parse_duration(std::string_view text);

}  // namespace starling::node
