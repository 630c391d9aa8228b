#pragma once

// How many file descriptors there are, and how many of them the doors may take: the rest is for
// files and peers.

#include <cstddef>

#include "node/daemon/config.h"

namespace starling::node {

// Raises the soft limit to the hard one. The limit then in force.
size_t raise_descriptor_limit();

// Lowers the doors' caps so that they take at most half of `limit`. True when it lowered any.
bool fit_connections(Config& config, size_t limit);

}  // namespace starling::node
