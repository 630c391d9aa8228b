#pragma once

// The processes of a dev cluster. A pid alone is no proof: it may be another process's by now. A
// process counts as a node only if it runs with that node's configuration file, by its absolute
// path.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace starling::client {

// Beside `executable`, else in `path` ($PATH); not_found.
absl::StatusOr<std::string> find_starlingd(const std::string& executable, const std::string& path);

// Starts `starlingd --config-path CONFIG` in a session of its own; what it says goes to the log.
absl::StatusOr<int64_t> spawn_node(const std::string& starlingd,
                                   const std::string& config_path,
                                   const std::string& log_path);

// Whether `pid` runs as the node with this configuration. A process that has ended does not.
bool runs_as_node(int64_t pid, const std::string& config_path);

// REQUIRES: runs_as_node(). OK also when it has ended meanwhile.
absl::Status send_signal(int64_t pid, int signal);

// Takes note of the end of a process that this one has started.
void reap(int64_t pid);

}  // namespace starling::client
