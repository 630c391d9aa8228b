#include "node/daemon/config_keys.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "node/daemon/quantity.h"
#include "node/doors/address.h"
#include "ring/limits.h"

namespace starling::node {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Where a key's value goes: the address of a member of the config.
template <typename T>
using Member = T& (*)(Config&);

std::string show(base::Duration duration) {
    const auto ms = std::chrono::duration_cast<milliseconds>(duration).count();
    return ms % 1000 == 0 ? fmt::format("{}s", ms / 1000) : fmt::format("{}ms", ms);
}

std::string show_bytes(uint64_t bytes) {
    for (const auto& [unit, name] :
         {std::pair(1ULL << 30, "GiB"), {1ULL << 20, "MiB"}, {1ULL << 10, "KiB"}}) {
        if (bytes >= unit && bytes % unit == 0) {
            return fmt::format("{}{}", bytes / unit, name);
        }
    }
    return fmt::format("{}B", bytes);
}

ConfigKey text_key(std::string name,
                   std::string expected,
                   Member<std::string> member,
                   size_t length_min,
                   size_t length_max) {
    return {std::move(name), std::move(expected), [=](Config& config, const ConfigValue& value) {
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr || text->size() < length_min || text->size() > length_max) {
                    return false;
                }
                member(config) = *text;
                return true;
            }};
}

ConfigKey address_key(std::string name, Member<std::string> member, bool may_be_empty) {
    const char* expected = may_be_empty
                               ? "an address IP:PORT, like \"127.0.0.1:4000\", or \"\" for none"
                               : "an address IP:PORT, like \"127.0.0.1:4000\"";
    return {std::move(name), expected, [=](Config& config, const ConfigValue& value) {
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr ||
                    !(parse_address(*text).ok() || (may_be_empty && text->empty()))) {
                    return false;
                }
                member(config) = *text;
                return true;
            }};
}

ConfigKey choice_key(std::string name,
                     Member<std::string> member,
                     std::vector<std::string> choices) {
    std::string expected = fmt::format("one of \"{}\"", fmt::join(choices, "\", \""));
    return {std::move(name), std::move(expected), [=](Config& config, const ConfigValue& value) {
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr ||
                    std::find(choices.begin(), choices.end(), *text) == choices.end()) {
                    return false;
                }
                member(config) = *text;
                return true;
            }};
}

template <typename T>
ConfigKey number_key(std::string name, Member<T> member, int64_t least, int64_t most) {
    return {std::move(name),
            fmt::format("a whole number from {} to {}", least, most),
            [=](Config& config, const ConfigValue& value) {
                const auto* number = std::get_if<int64_t>(&value);
                if (number == nullptr || *number < least || *number > most) {
                    return false;
                }
                member(config) = static_cast<T>(*number);
                return true;
            }};
}

template <typename T>
ConfigKey bytes_key(std::string name, Member<T> member, uint64_t least, uint64_t most) {
    return {std::move(name),
            fmt::format("a size from {} to {}, like \"512MiB\" or a number of bytes",
                        show_bytes(least),
                        show_bytes(most)),
            [=](Config& config, const ConfigValue& value) {
                std::optional<uint64_t> bytes;
                if (const auto* number = std::get_if<int64_t>(&value)) {
                    bytes =
                        *number < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(*number));
                } else if (const auto* text = std::get_if<std::string>(&value)) {
                    bytes = parse_bytes(*text);
                }
                if (!bytes.has_value() || *bytes < least || *bytes > most) {
                    return false;
                }
                member(config) = static_cast<T>(*bytes);
                return true;
            }};
}

ConfigKey duration_key(std::string name,
                       Member<base::Duration> member,
                       base::Duration least,
                       base::Duration most) {
    return {
        std::move(name),
        fmt::format(
            "a duration from {} to {}, like \"250ms\", \"2s\" or \"10m\"", show(least), show(most)),
        [=](Config& config, const ConfigValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            const auto duration = text == nullptr ? std::nullopt : parse_duration(*text);
            if (!duration.has_value() || *duration < least || *duration > most) {
                return false;
            }
            member(config) = *duration;
            return true;
        }};
}

ConfigKey bool_key(std::string name, Member<bool> member) {
    return {std::move(name), "true or false", [=](Config& config, const ConfigValue& value) {
                const auto* given = std::get_if<bool>(&value);
                if (given == nullptr) {
                    return false;
                }
                member(config) = *given;
                return true;
            }};
}

ConfigKey partition_count_key() {
    return {"partition_count",
            "a power of two from 1 to 32768",
            [](Config& config, const ConfigValue& value) {
                const auto* number = std::get_if<int64_t>(&value);
                if (number == nullptr || *number < 1 || *number > 32768 ||
                    !std::has_single_bit(static_cast<uint64_t>(*number))) {
                    return false;
                }
                config.node.partition_count = static_cast<uint32_t>(*number);
                return true;
            }};
}

ConfigKey value_bytes_key() {
    // A node sends a whole record in one frame of at most 64 MiB.
    ConfigKey key = bytes_key<uint64_t>(
        "value_bytes_max",
        [](Config& c) -> uint64_t& { return c.node.value_bytes_max; },
        1,
        32u << 20);
    key.set = [set = key.set](Config& config, const ConfigValue& value) {
        if (!set(config, value)) {
            return false;
        }
        config.grpc.requests.value_bytes_max = config.node.value_bytes_max;
        return true;
    };
    return key;
}

ConfigKey key_bytes_key() {
    ConfigKey key = bytes_key<uint32_t>(
        "key_bytes_max", [](Config& c) -> uint32_t& { return c.node.key_bytes_max; }, 1, 64u << 10);
    key.set = [set = key.set](Config& config, const ConfigValue& value) {
        if (!set(config, value)) {
            return false;
        }
        config.grpc.requests.key_bytes_max = config.node.key_bytes_max;
        return true;
    };
    return key;
}

std::optional<storage::Compression> parse_compression(const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
        return std::nullopt;
    }
    return *text == "none"   ? std::optional(storage::Compression::none)
           : *text == "lz4"  ? std::optional(storage::Compression::lz4)
           : *text == "zstd" ? std::optional(storage::Compression::zstd)
                             : std::nullopt;
}

ConfigKey compression_key() {
    return {"compression",
            "one of \"none\", \"lz4\", \"zstd\"",
            [](Config& config, const ConfigValue& value) {
                const auto compression = parse_compression(value);
                config.node.compression = compression.value_or(config.node.compression);
                return compression.has_value();
            }};
}

ConfigKey deepest_compression_key() {
    return {"deepest_compression",
            "one of \"same\", \"none\", \"lz4\", \"zstd\"",
            [](Config& config, const ConfigValue& value) {
                const auto* text = std::get_if<std::string>(&value);
                const auto compression = parse_compression(value);
                if (!compression.has_value() && (text == nullptr || *text != "same")) {
                    return false;
                }
                config.node.deepest_compression = compression;
                return true;
            }};
}

ConfigKey log_format_key() {
    return {
        "log_format", "one of \"text\", \"json\"", [](Config& config, const ConfigValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr || (*text != "text" && *text != "json")) {
                return false;
            }
            config.log_format = *text == "json" ? LogFormat::json : LogFormat::text;
            return true;
        }};
}

#define STARLING_MEMBER(type, path) [](Config& c) -> type& { return c.path; }

void add_identity_keys(std::vector<ConfigKey>& keys) {
    keys.push_back(text_key("cluster_name",
                            "a text of 1 to 64 bytes",
                            STARLING_MEMBER(std::string, node.cluster_name),
                            1,
                            64));
    keys.push_back(partition_count_key());
    keys.push_back(number_key<uint32_t>(
        "seat_count", STARLING_MEMBER(uint32_t, node.seat_count), 1, ring::seats_max));
    keys.push_back(text_key("cluster_secret_file",
                            "the path of a file",
                            STARLING_MEMBER(std::string, cluster_secret_file),
                            1,
                            4096));
    keys.push_back(text_key(
        "zone", "a text of at most 64 bytes", STARLING_MEMBER(std::string, node.zone), 0, 64));
    keys.push_back(
        number_key<uint32_t>("weight", STARLING_MEMBER(uint32_t, node.weight), 1, 10000));
}

void add_address_keys(std::vector<ConfigKey>& keys) {
    keys.push_back(
        address_key("client_address", STARLING_MEMBER(std::string, client_address), false));
    keys.push_back(address_key("peer_address", STARLING_MEMBER(std::string, peer_address), false));
    keys.push_back(address_key("http_address", STARLING_MEMBER(std::string, http_address), true));
    keys.push_back(address_key("client_advertised_address",
                               STARLING_MEMBER(std::string, client_advertised_address),
                               true));
    keys.push_back(address_key(
        "peer_advertised_address", STARLING_MEMBER(std::string, peer_advertised_address), true));
    keys.push_back(bool_key("insecure_listen", STARLING_MEMBER(bool, insecure_listen)));
}

void add_storage_keys(std::vector<ConfigKey>& keys) {
    keys.push_back(text_key("data_dir",
                            "the path of a directory",
                            STARLING_MEMBER(std::string, node.data_directory),
                            1,
                            4096));
    keys.push_back(text_key("encryption_key_file",
                            "the path of a file",
                            STARLING_MEMBER(std::string, encryption_key_file),
                            1,
                            4096));
    keys.push_back(choice_key("engine",
                              STARLING_MEMBER(std::string, node.engine),
                              {"lsm", "bitcask", "kvs", "in_memory"}));
    keys.push_back(number_key<uint32_t>("shards", STARLING_MEMBER(uint32_t, shards), 0, 64));
    keys.push_back(number_key<uint32_t>("workers", STARLING_MEMBER(uint32_t, workers), 0, 256));
    keys.push_back(bytes_key<uint64_t>("memory_bytes_max",
                                       STARLING_MEMBER(uint64_t, node.memory_bytes_max),
                                       64ULL << 20,
                                       1ULL << 40));
    keys.push_back(bytes_key<uint64_t>(
        "block_cache_bytes",
        [](Config& c) -> uint64_t& { return c.node.block_cache_bytes.emplace(); },
        0,
        1ULL << 39));
    keys.push_back(compression_key());
    keys.push_back(deepest_compression_key());
    keys.push_back(bytes_key<uint64_t>("compaction_bytes_per_second",
                                       STARLING_MEMBER(uint64_t, node.compaction_bytes_per_second),
                                       0,
                                       1ULL << 40));
    keys.push_back(bytes_key<uint64_t>(
        "disk_reserve_bytes", STARLING_MEMBER(uint64_t, node.disk_reserve_bytes), 0, 1ULL << 40));
    keys.push_back(bool_key("direct_reads", STARLING_MEMBER(bool, node.direct_reads)));
    keys.push_back(bytes_key<uint64_t>(
        "hint_bytes_max", STARLING_MEMBER(uint64_t, node.hint_bytes_max), 0, 1ULL << 40));
    keys.push_back(key_bytes_key());
    keys.push_back(value_bytes_key());
    keys.push_back(number_key<uint32_t>(
        "siblings_max", STARLING_MEMBER(uint32_t, node.siblings_max), 1, 1024));
}

void add_time_keys(std::vector<ConfigKey>& keys) {
    const auto add = [&keys](const char* name,
                             Member<base::Duration> member,
                             base::Duration least,
                             base::Duration most) {
        keys.push_back(duration_key(name, member, least, most));
    };
    add("deadline_default",
        STARLING_MEMBER(base::Duration, node.deadline_default),
        milliseconds(10),
        NodeOptions().deadline_limit);
    add("deadline_max",
        STARLING_MEMBER(base::Duration, node.deadline_max),
        milliseconds(10),
        NodeOptions().deadline_limit);
    add("hint_after",
        STARLING_MEMBER(base::Duration, node.hint_after),
        milliseconds(1),
        minutes(1));
    add("hint_interval",
        STARLING_MEMBER(base::Duration, node.hint_interval),
        milliseconds(10),
        minutes(10));
    add("clock_drift_max",
        STARLING_MEMBER(base::Duration, node.clock_drift_max),
        milliseconds(1),
        minutes(10));
    add("entropy_interval",
        STARLING_MEMBER(base::Duration, node.entropy_interval),
        milliseconds(100),
        hours(24));
    keys.push_back(bytes_key<uint64_t>("entropy_bytes_per_second",
                                       STARLING_MEMBER(uint64_t, node.entropy_bytes_per_second),
                                       0,
                                       1ULL << 40));
    add("entropy_pause_latency",
        STARLING_MEMBER(base::Duration, node.entropy_pause_latency),
        milliseconds(1),
        minutes(1));
    add("scrub_period",
        STARLING_MEMBER(base::Duration, node.scrub_period),
        minutes(1),
        hours(8760));
    add("gossip_probe_interval",
        STARLING_MEMBER(base::Duration, node.gossip_probe_interval),
        milliseconds(50),
        minutes(1));
    add("stop_timeout",
        STARLING_MEMBER(base::Duration, stop_timeout),
        milliseconds(100),
        minutes(10));
    keys.push_back(bool_key("canary", STARLING_MEMBER(bool, node.canary)));
    add("canary_interval",
        STARLING_MEMBER(base::Duration, node.canary_interval),
        milliseconds(10),
        hours(1));
    keys.push_back(number_key<uint32_t>(
        "fills_at_once", STARLING_MEMBER(uint32_t, node.fills_at_once), 1, 256));
}

void add_door_keys(std::vector<ConfigKey>& keys) {
    keys.push_back(number_key<size_t>(
        "connections_max", STARLING_MEMBER(size_t, grpc.connections_max), 1, 65536));
    keys.push_back(number_key<int>("streams_per_connection_max",
                                   STARLING_MEMBER(int, grpc.streams_per_connection_max),
                                   1,
                                   65536));
    keys.push_back(number_key<size_t>("requests_in_flight_max",
                                      STARLING_MEMBER(size_t, grpc.requests_in_flight_max),
                                      1,
                                      1 << 20));
    keys.push_back(number_key<size_t>(
        "http_connections_max", STARLING_MEMBER(size_t, http.connections_max), 1, 4096));
    keys.push_back(choice_key("log_level",
                              STARLING_MEMBER(std::string, log_level),
                              {"debug", "info", "warning", "error"}));
    keys.push_back(log_format_key());
}

#undef STARLING_MEMBER

}  // namespace

const std::vector<ConfigKey>& config_keys() {
    static const std::vector<ConfigKey>& keys = *[] {
        auto* all = new std::vector<ConfigKey>();
        add_identity_keys(*all);
        add_address_keys(*all);
        add_storage_keys(*all);
        add_time_keys(*all);
        add_door_keys(*all);
        return all;
    }();
    return keys;
}

const ConfigKey* find_config_key(std::string_view name) {
    for (const ConfigKey& key : config_keys()) {
        if (key.name == name) {
            return &key;
        }
    }
    return nullptr;
}

}  // namespace starling::node
