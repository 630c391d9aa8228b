#pragma once

// The page of /status: the cluster as this node sees it, as JSON. docs/api.md describes the fields.

#include <string>

#include "node/api.h"

namespace starling::node {

std::string to_status_json(const StatusReport& report);

}  // namespace starling::node
