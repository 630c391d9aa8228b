#include "node/doors/admission.h"

#include <fmt/format.h>

#include "base/error.h"

namespace starling::node {

absl::Status Admission::admit(size_t bytes) {
    const size_t requests = requests_.fetch_add(1, std::memory_order_acq_rel) + 1;
    const size_t total = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (requests > options_.requests_max) {
        return refuse(bytes, "requests in flight", options_.requests_max);
    }
    if (total > options_.bytes_max && requests > 1) {
        return refuse(bytes, "bytes of requests and results in flight", options_.bytes_max);
    }
    return absl::OkStatus();
}

void Admission::release(size_t bytes) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    requests_.fetch_sub(1, std::memory_order_acq_rel);
}

absl::Status Admission::refuse(size_t bytes, const char* what, size_t limit) {
    release(bytes);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return base::make_error(
        absl::StatusCode::kResourceExhausted,
        base::reason::overloaded,
        fmt::format("the node is at its limit of {} {}; try again later", limit, what));
}

}  // namespace starling::node
