#include "client/cli/time_arguments.h"

#include <charconv>
#include <chrono>
#include <map>
#include <string_view>

#include "absl/time/time.h"

namespace starling::client {

std::optional<base::Duration> parse_duration(const std::string& text, base::Duration most) {
    static const std::map<std::string_view, base::Duration> units = {
        {"", std::chrono::milliseconds(1)},
        {"ms", std::chrono::milliseconds(1)},
        {"s", std::chrono::seconds(1)},
        {"m", std::chrono::minutes(1)},
        {"h", std::chrono::hours(1)},
        {"d", std::chrono::hours(24)}};
    int64_t number = 0;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto [after, error] = std::from_chars(begin, end, number);
    const auto unit = units.find(std::string_view(after, end));
    if (error != std::errc() || unit == units.end() || number <= 0 ||
        number > most / unit->second) {
        return std::nullopt;
    }
    return number * unit->second;
}

std::optional<uint64_t> parse_time_ms(const std::string& text) {
    int64_t ms = 0;
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, ms);
    if (error != std::errc() || after != end) {
        absl::Time time;
        std::string why;
        if (!absl::ParseTime(absl::RFC3339_full, text, &time, &why)) return std::nullopt;
        ms = absl::ToUnixMillis(time);
    }
    return ms > 0 ? std::optional(static_cast<uint64_t>(ms)) : std::nullopt;
}

}  // namespace starling::client
