#pragma once

// Where a tool finds the cluster's secret: the places where starlingd looks, and a dev cluster's.

#include <string>

#include "absl/status/statusor.h"

#include "client/cli/arguments.h"
#include "client/cli/terminal.h"
#include "env/file_system.h"

namespace starling::client {

// For the node at `peer_address`: --secret-file, else $STARLING_CLUSTER_SECRET_FILE, else the dev
// cluster's of this folder if it is one of its nodes, else ~/.starling/cluster_secret. Nothing is
// made.
absl::StatusOr<std::string> find_secret(env::FileSystem& files,
                                        const Terminal& terminal,
                                        const Arguments& arguments,
                                        const std::string& peer_address);

}  // namespace starling::client
