#pragma once

// What the HTTP door tells of the doors themselves. All of it may be read from any thread.

#include <functional>

#include "node/doors/admission.h"
#include "node/doors/door_metrics.h"
#include "node/doors/listener.h"

namespace starling::node {

struct DoorState {
    const DoorMetrics& metrics;
    const Admission& admission;
    const ConnectionCounts& grpc_connections;
    const ConnectionCounts& http_connections;
    // Takes requests: started, not stopping.
    std::function<bool()> is_ready;
};

}  // namespace starling::node
