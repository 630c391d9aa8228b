#pragma once

// Nodes on loopback, as processes of a benchmark.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/child_process.h"

namespace starling::bench {

struct Cluster {
    // None where a node was stopped.
    std::vector<std::unique_ptr<ChildProcess>> nodes;
    // Each node's command, and where its output goes.
    std::vector<std::vector<std::string>> commands;
    std::vector<std::string> logs;
    // Of the clients.
    std::vector<std::string> addresses;

    double cpu_seconds() const;
    void stop(size_t node) { nodes[node].reset(); }
    // Waits until it serves.
    void start(size_t node);
};

// Ends the program after a minute.
void wait_until(const std::string& what, const std::function<bool()>& condition);

// One cluster with all seats placed; folders, logs and configurations lie in `folder`. Ports:
// `base_port` + node for clients, 10 more for peers, 20 more for HTTP. `more`: lines of each node's
// configuration.
Cluster start_starling(const std::string& starlingd,
                       const std::string& folder,
                       int base_port,
                       int nodes = 3,
                       const std::string& more = "");

}  // namespace starling::bench
