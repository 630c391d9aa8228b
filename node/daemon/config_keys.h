#pragma once

// The keys of the configuration: each with what it expects, in words, and how it is set.

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "node/daemon/config.h"

namespace starling::node {

// A value as TOML or the command line gave it.
using ConfigValue = std::variant<bool, int64_t, double, std::string>;

struct ConfigKey {
    std::string name;
    // "a whole number from 0 to 64".
    std::string expected;
    // False when the value is not what is expected; then nothing is changed.
    std::function<bool(Config&, const ConfigValue&)> set;
};

const std::vector<ConfigKey>& config_keys();
// nullptr when there is no such key.
const ConfigKey* find_config_key(std::string_view name);

}  // namespace starling::node
