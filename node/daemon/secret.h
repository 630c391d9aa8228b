#pragma once

// The cluster's secret: it proves membership between nodes and keys the contexts handed to clients.
// It is read from a file that nobody but its owner may read, and never logged.

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "env/random.h"

namespace starling::node {

struct SecretPlaces {
    // cluster_secret_file of the configuration, $STARLING_CLUSTER_SECRET_FILE, $HOME; each may be
    // empty.
    std::string configured;
    std::string from_environment;
    std::string home;
};

// The secret of the first place that is named. Only the last one, ~/.starling/cluster_secret, is
// made when it does not exist: 32 random bytes in hexadecimal, file 0600, directory 0700; `log` is
// told. Two nodes that make it at once end up with the same one. failed_precondition: readable by
// others, too short, too long; not_found.
absl::StatusOr<std::string> load_secret(env::FileSystem& files,
                                        env::Random& random,
                                        const SecretPlaces& places,
                                        const std::function<void(std::string_view)>& log);

}  // namespace starling::node
