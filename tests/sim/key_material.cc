#include "tests/sim/key_material.h"

#include <array>

#include <fmt/format.h>

namespace starling::sim {

namespace {

constexpr size_t key_bytes_limit = size_t{64} << 10;

}  // namespace

std::vector<std::string> make_keys(env::SimRandom random, uint32_t count, bool nasty) {
    std::vector<std::string> keys;
    if (nasty) {
        const std::array<std::string, 8> special = {
            std::string(1, '\0'),
            std::string(1, '\xff'),
            std::string(9, '\xff'),
            std::string("a\0b", 3),
            std::string("a"),
            std::string("a\0", 2),
            std::string(key_bytes_limit, 'k'),
            "../../etc/passwd\n",
        };
        for (const std::string& key : special) {
            if (keys.size() < count && random.below(2) == 0) keys.push_back(key);
        }
    }
    while (keys.size() < count)
        keys.push_back(fmt::format("key/{}", keys.size()));
    return keys;
}

std::string ValueMaker::make(env::SimRandom& random, uint64_t serial, bool nasty) {
    if (nasty && random.below(20) == 0) {
        const std::string value = random.below(2) == 0
                                      ? std::string()
                                      : std::string(1, static_cast<char>(random.below(256)));
        if (short_ones_.insert(value).second) return value;
    }
    std::string value = fmt::format("v{}.", serial);
    size_t size = value.size() + random.below(60);
    if (nasty && random.below(25) == 0) {
        constexpr std::array<size_t, 4> edges = {512, 4096, 16384, 65536};
        const size_t edge = edges[random.below(edges.size())];
        size = edge - 1 + random.below(3);
    } else if (nasty && random.below(500) == 0) {
        size = (size_t{1} << 20) - 1 + random.below(3);
    }
    value.resize(std::max(size, value.size()), static_cast<char>('a' + serial % 26));
    return value;
}

}  // namespace starling::sim
