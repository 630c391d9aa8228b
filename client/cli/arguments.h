#pragma once

// The command line of `starling` as a value: which command, with what. docs/cli.md describes it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "client/cli/terminal.h"

namespace starling::client {

enum class Command : uint8_t {
    put,
    get,
    del,
    batch,
    status,
    ring,
    ping,
    namespace_create,
    namespace_list,
    join_cluster,
    verify,
    dev_up,
    dev_kill,
    dev_revive,
    dev_down,
    dev_status,
    conflicts_list,
    conflicts_show,
    conflicts_resolve,
};

enum class Output : uint8_t { text, json, raw };

struct Arguments {
    Command command = Command::status;

    // As given; empty: none was.
    std::vector<std::string> addresses;
    std::optional<uint16_t> port;
    std::string name_space;
    // 0: not given.
    uint32_t read_quorum = 0;
    uint32_t write_quorum = 0;
    // "one", "quorum", "all"; empty: not given.
    std::string consistency;
    base::Duration timeout = std::chrono::seconds(5);
    bool is_timeout_given = false;
    Output output = Output::text;
    bool explain = false;
    // Of the session that reads its own writes; empty: none.
    std::string session_file;

    std::string key;
    std::string value;
    // Hexadecimal.
    std::optional<std::string> context;
    bool blind = false;
    std::optional<base::Duration> ttl;
    // Unix milliseconds; 0: not given.
    uint64_t expires_ms = 0;
    // "-": standard input.
    std::string batch_file;

    uint32_t replicas = 0;
    std::string policy;
    std::string durability;

    std::string known_node;
    std::string secret_file;
    bool no_wait = false;

    uint64_t bytes_per_second = 4u << 20;
    base::Duration settle = std::chrono::seconds(3);
    bool reads_all = false;

    uint32_t node_count = 0;
    uint32_t node = 0;
    // 0: not given.
    uint32_t base_port = 0;
    std::string dev_folder;
    bool removes_data = false;

    // Of `conflicts`.
    uint32_t limit = 100;
    std::string from;
    std::optional<std::string> pick;
};

// The exit code when there is nothing more to do (help, version, a mistake, which is then
// reported).
std::optional<int> parse_arguments(const std::vector<std::string>& words,
                                   Terminal& terminal,
                                   Arguments& arguments);

}  // namespace starling::client
