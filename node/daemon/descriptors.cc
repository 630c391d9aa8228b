#include "node/daemon/descriptors.h"

#include <algorithm>

#include <sys/resource.h>

namespace starling::node {

size_t raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<size_t>(limit.rlim_cur);
}

bool fit_connections(Config& config, size_t limit) {
    const size_t http = std::min(config.http.connections_max, std::max<size_t>(limit / 16, 1));
    const size_t grpc =
        std::min(config.grpc.connections_max, std::max<size_t>(limit / 2 - http, 1));
    const bool is_lower = http < config.http.connections_max || grpc < config.grpc.connections_max;
    config.http.connections_max = http;
    config.grpc.connections_max = grpc;
    return is_lower;
}

}  // namespace starling::node
