#include "node/daemon/config.h"

#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "base/status_macros.h"
#include "node/daemon/config_keys.h"
#include "node/doors/address.h"
#include "node/server/memory_division.h"

namespace starling::node {

namespace {

std::string place(const std::string& file, uint32_t line) {
    return fmt::format("{}:{}", file, line);
}

// Nothing for what no key takes: tables, arrays, dates.
std::optional<ConfigValue> to_value(const toml::node& node) {
    if (const auto* text = node.as_string()) {
        return text->get();
    }
    if (const auto* number = node.as_integer()) {
        return number->get();
    }
    if (const auto* number = node.as_floating_point()) {
        return number->get();
    }
    if (const auto* given = node.as_boolean()) {
        return given->get();
    }
    return std::nullopt;
}

std::string show(const toml::node& node) {
    std::ostringstream text;
    if (node.is_table()) {
        return "a table";
    }
    if (const auto* array = node.as_array()) {
        text << *array;
    } else if (const auto value = to_value(node); value.has_value()) {
        std::visit([&text](const auto& given) { text << toml::value(given); }, *value);
    } else {
        return "a date or time";
    }
    return text.str();
}

// The mistake, or nothing.
std::optional<std::string> apply(Config& config,
                                 const std::string& name,
                                 const toml::node& node,
                                 const std::string& where) {
    const ConfigKey* key = find_config_key(name);
    if (key == nullptr) {
        return fmt::format(
            "{}: unknown key '{}' (docs/configuration.md lists the keys)", where, name);
    }
    const auto value = to_value(node);
    if (!value.has_value() || !key->set(config, *value)) {
        return fmt::format(
            "{}: key '{}': expected {}, found {}", where, name, key->expected, show(node));
    }
    config.origins[name] = where;
    return std::nullopt;
}

absl::Status all_of(const std::vector<std::string>& mistakes) {
    return mistakes.empty()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(fmt::format("{}", fmt::join(mistakes, "\n")));
}

std::string origin_of(const Config& config, const std::string& key) {
    const auto found = config.origins.find(key);
    return found == config.origins.end() ? "default" : found->second;
}

void check_exposure(const Config& config,
                    const std::string& key,
                    const std::string& address,
                    std::vector<std::string>& mistakes) {
    const auto endpoint = parse_address(address);
    if (endpoint.ok() && !endpoint->address().is_loopback() && !config.insecure_listen) {
        mistakes.push_back(
            fmt::format("{}: key '{}': expected a loopback address, found \"{}\": whoever reaches "
                        "it can read and "
                        "write everything; 'insecure_listen = true' allows it all the same",
                        origin_of(config, key),
                        key,
                        address));
    }
}

// An address that means "all of mine" tells others nothing.
void check_advertised(const Config& config,
                      const std::string& key,
                      const std::string& address,
                      const std::string& advertised_key,
                      const std::string& advertised,
                      std::vector<std::string>& mistakes) {
    const auto endpoint = parse_address(advertised.empty() ? address : advertised);
    if (endpoint.ok() && endpoint->address().is_unspecified()) {
        const std::string& culprit = advertised.empty() ? key : advertised_key;
        mistakes.push_back(fmt::format(
            "{}: key '{}': others cannot reach \"{}\"; set '{}' to the address that they use",
            origin_of(config, culprit),
            culprit,
            advertised.empty() ? address : advertised,
            advertised_key));
    }
}

}  // namespace

absl::Status apply_toml(Config& config, std::string_view text, const std::string& file) {
    toml::table table;
    try {
        table = toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        return absl::InvalidArgumentError(fmt::format(
            "{}: not TOML: {}", place(file, error.source().begin.line), error.description()));
    }
    std::map<uint32_t, std::string> mistakes_by_line;
    for (const auto& [key, node] : table) {
        const uint32_t line = node.source().begin.line;
        auto mistake = apply(config, std::string(key.str()), node, place(file, line));
        if (mistake.has_value()) {
            mistakes_by_line[line] = *std::move(mistake);
        }
    }
    std::vector<std::string> mistakes;
    mistakes.reserve(mistakes_by_line.size());
    for (auto& [line, mistake] : mistakes_by_line) {
        mistakes.push_back(std::move(mistake));
    }
    return all_of(mistakes);
}

absl::Status apply_option(Config& config,
                          const std::string& key,
                          const std::string& value,
                          const std::string& option) {
    const ConfigKey* found = find_config_key(key);
    if (found == nullptr || !found->set(config, ConfigValue(value))) {
        return absl::InvalidArgumentError(
            fmt::format("{}: expected {}, found \"{}\"",
                        option,
                        found == nullptr ? "nothing" : found->expected,
                        value));
    }
    config.origins[key] = option;
    return absl::OkStatus();
}

absl::Status check_config(const Config& config) {
    std::vector<std::string> mistakes;
    check_exposure(config, "client_address", config.client_address, mistakes);
    check_exposure(config, "peer_address", config.peer_address, mistakes);
    check_exposure(config, "http_address", config.http_address, mistakes);
    check_advertised(config,
                     "client_address",
                     config.client_address,
                     "client_advertised_address",
                     config.client_advertised_address,
                     mistakes);
    check_advertised(config,
                     "peer_address",
                     config.peer_address,
                     "peer_advertised_address",
                     config.peer_advertised_address,
                     mistakes);
    if (config.node.deadline_default > config.node.deadline_max) {
        // Who lowers the largest alone has not named the other.
        mistakes.push_back(
            config.origins.contains("deadline_default")
                ? fmt::format("{}: key 'deadline_default': expected at most deadline_max",
                              origin_of(config, "deadline_default"))
                : fmt::format("{}: key 'deadline_max': expected at least deadline_default, {} ms",
                              origin_of(config, "deadline_max"),
                              config.node.deadline_default / std::chrono::milliseconds(1)));
    }
    const uint64_t cache_most = MemoryDivision::block_cache_most(config.node.memory_bytes_max);
    if (config.node.block_cache_bytes.value_or(0) > cache_most) {
        mistakes.push_back(fmt::format(
            "{}: key 'block_cache_bytes': expected at most 7/16 of memory_bytes_max, {}, found {}",
            origin_of(config, "block_cache_bytes"),
            cache_most,
            *config.node.block_cache_bytes));
    }
    return all_of(mistakes);
}

}  // namespace starling::node
