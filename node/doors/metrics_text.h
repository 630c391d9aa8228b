#pragma once

// The page of /metrics, in Prometheus' text format: what the node reports, and what the doors
// count.

#include <string>

#include "node/api.h"
#include "node/doors/door_state.h"

namespace starling::node {

std::string to_metrics_text(const StatusReport& report, const DoorState& doors);

}  // namespace starling::node
