#pragma once

// Which page answers which path. Knows nothing of connections.

#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"

#include "node/api.h"
#include "node/doors/door_state.h"

namespace starling::node {

struct HttpPage {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
};

// `answer` runs once, here or on a thread of the node's; not at all when the node drops it.
void make_page(std::string_view target,
               AdminService& admin,
               const DoorState& doors,
               absl::AnyInvocable<void(HttpPage)> answer);

}  // namespace starling::node
