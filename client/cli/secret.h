#pragma once

// Where a tool finds the cluster's secret: the places where starlingd looks, and a dev cluster's.

#include <string>

#include "absl/status/statusor.h"

#include "client/cli/arguments.h"
#include "client/cli/terminal.h"
#include "env/file_system.h"

namespace starling::client {

// --secret-file, $STARLING_CLUSTER_SECRET_FILE, the dev cluster's of this folder,
// ~/.starling/cluster_secret; the first that is named or exists. Nothing is made.
absl::StatusOr<std::string> find_secret(env::FileSystem& files,
                                        const Terminal& terminal,
                                        const Arguments& arguments);

}  // namespace starling::client
