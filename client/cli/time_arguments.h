#pragma once

// Spans and moments as people write them on the command line.

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"

namespace starling::client {

// "250ms", "2s", "1m", "3h", "7d", or a bare number of milliseconds. None: it is no such span, or
// 0, or longer than `most`.
std::optional<base::Duration> parse_duration(const std::string& text, base::Duration most);

// The longest time that a value may be told to live: beyond it no node takes it.
inline constexpr base::Duration ttl_max = std::chrono::hours(24 * 36'500);

// Unix milliseconds of "2026-11-30T12:00:00Z" (RFC 3339, with any offset), or of a bare number of
// milliseconds. None: it is neither, or not after 1970.
std::optional<uint64_t> parse_time_ms(const std::string& text);

}  // namespace starling::client
