#include "node/daemon/quantity.h"

#include <array>
#include <charconv>
#include <limits>

namespace starling::node {

namespace {

struct Unit {
    std::string_view name;
    uint64_t factor;
};

constexpr std::array<Unit, 7> byte_units = {{{"B", 1},
                                             {"KiB", 1ULL << 10},
                                             {"MiB", 1ULL << 20},
                                             {"GiB", 1ULL << 30},
                                             {"KB", 1'000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000}}};
constexpr std::array<Unit, 4> time_units = {
    {{"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}}};

template <size_t Count>
std::optional<uint64_t> parse(std::string_view text, const std::array<Unit, Count>& units) {
    uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc()) {
        return std::nullopt;
    }
    const std::string_view name(rest, static_cast<size_t>(end - rest));
    for (const Unit& unit : units) {
        if (unit.name == name) {
            const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
            return number > most / unit.factor ? std::nullopt : std::optional(number * unit.factor);
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<uint64_t> parse_bytes(std::string_view text) {
    return parse(text, byte_units);
}

std::optional<base::Duration> parse_duration(std::string_view text) {
    const auto nanoseconds = parse(text, time_units);
    if (!nanoseconds.has_value()) {
        return std::nullopt;
    }
    return base::Duration(static_cast<base::Duration::rep>(*nanoseconds));
}

}  // namespace starling::node
