#pragma once

// Nodes on loopback, as processes of a benchmark.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/child_process.h"

namespace starling::bench {

struct Cluster {
    std::vector<std::unique_ptr<ChildProcess>> nodes;
    // Of the clients.
    std::vector<std::string> addresses;

    double cpu_seconds() const;
};

// Ends the program after a minute.
void wait_until(const std::string& what, const std::function<bool()>& condition);

// One cluster with all seats placed; folders, logs and configurations lie in `folder`. Ports:
// `base_port` + node for clients, 10 more for peers, 20 more for HTTP.
Cluster start_starling(const std::string& starlingd,
                       const std::string& folder,
                       int base_port,
                       int nodes = 3);

}  // namespace starling::bench
