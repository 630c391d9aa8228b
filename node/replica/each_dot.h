#pragma once

#include <cstdint>
#include <vector>

#include "node/version/frontier.h"

namespace starling::node {

template <typename Act>
void for_each_dot(const std::vector<Frontier::Range>& ranges, const Act& act) {
    for (const Frontier::Range& range : ranges) {
        for (uint64_t sequence = range.first; sequence <= range.last; ++sequence) {
            act(Dot{range.actor, sequence});
        }
    }
}

}  // namespace starling::node
