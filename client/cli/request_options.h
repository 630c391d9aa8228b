#pragma once

// What the common options of the command line mean for a request.

#include "absl/status/statusor.h"

#include "client/cli/arguments.h"
#include "client/cli/session.h"
#include "client/options.h"

namespace starling::client {

// `quorum`: --r or --w, 0 where it was not given. Asks a node what --consistency means.
absl::StatusOr<RequestOptions> request_options(const Arguments& arguments,
                                               uint32_t quorum,
                                               Session& session);

}  // namespace starling::client
