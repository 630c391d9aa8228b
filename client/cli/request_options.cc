#include "client/cli/request_options.h"

#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace starling::client {

namespace {

// How many replicas `--consistency` means, by the namespace's N.
absl::StatusOr<uint32_t> quorum_of(const Arguments& arguments, Session& session) {
    if (arguments.consistency == "one") {
        return 1;
    }
    STARLING_ASSIGN_OR_RETURN(const auto admin, session.admin());
    STARLING_ASSIGN_OR_RETURN(const v1::ListNamespacesResponse spaces, admin->list_namespaces());
    const std::string wanted = arguments.name_space.empty() ? "default" : arguments.name_space;
    for (const v1::Namespace& space : spaces.namespaces()) {
        if (space.name() == wanted) {
            return arguments.consistency == "all" ? space.replicas() : space.replicas() / 2 + 1;
        }
    }
    return base::make_error(absl::StatusCode::kNotFound,
                            base::reason::unknown_namespace,
                            fmt::format("namespace '{}' does not exist", wanted));
}

}  // namespace

absl::StatusOr<RequestOptions> request_options(const Arguments& arguments,
                                               uint32_t quorum,
                                               Session& session) {
    RequestOptions options{
        .name_space = arguments.name_space, .quorum = quorum, .explain = arguments.explain};
    if (!arguments.consistency.empty()) {
        STARLING_ASSIGN_OR_RETURN(options.quorum, quorum_of(arguments, session));
    }
    return options;
}

}  // namespace starling::client
