#include "node/doors/door_metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace starling::node {

namespace {

constexpr std::array<std::string_view, method_count> method_names = {"Put",
                                                                     "Get",
                                                                     "Delete",
                                                                     "Batch",
                                                                     "Ping",
                                                                     "Join",
                                                                     "Status",
                                                                     "Ring",
                                                                     "CreateNamespace",
                                                                     "ListNamespaces",
                                                                     "InspectReplica",
                                                                     "ListConflicts",
                                                                     "http"};

constexpr std::array<std::string_view, DoorMetrics::code_count> code_names = {"OK",
                                                                              "CANCELLED",
                                                                              "UNKNOWN",
                                                                              "INVALID_ARGUMENT",
                                                                              "DEADLINE_EXCEEDED",
                                                                              "NOT_FOUND",
                                                                              "ALREADY_EXISTS",
                                                                              "PERMISSION_DENIED",
                                                                              "RESOURCE_EXHAUSTED",
                                                                              "FAILED_PRECONDITION",
                                                                              "ABORTED",
                                                                              "OUT_OF_RANGE",
                                                                              "UNIMPLEMENTED",
                                                                              "INTERNAL",
                                                                              "UNAVAILABLE",
                                                                              "DATA_LOSS",
                                                                              "UNAUTHENTICATED"};

constexpr uint64_t first_bucket_ns = 50'000;

size_t bucket_of(uint64_t ns) {
    const uint64_t steps = (ns + first_bucket_ns - 1) / first_bucket_ns;
    const auto bucket = static_cast<size_t>(steps <= 1 ? 0 : std::bit_width(steps - 1));
    return std::min(bucket, DoorMetrics::bucket_count - 1);
}

}  // namespace

std::string_view to_string(Method method) {
    return method_names[static_cast<size_t>(method)];
}

std::string_view code_name(size_t code) {
    return code_names[code];
}

void DoorMetrics::record(Method method, absl::StatusCode code, base::Duration elapsed) {
    MethodCounts& counts = methods_[static_cast<size_t>(method)];
    const auto ns = static_cast<uint64_t>(std::max<base::Duration::rep>(elapsed.count(), 0));
    const size_t code_index = std::min(static_cast<size_t>(code), code_count - 1);
    counts.by_code[code_index].fetch_add(1, std::memory_order_relaxed);
    counts.by_duration[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    counts.nanoseconds.fetch_add(ns, std::memory_order_relaxed);
}

double DoorMetrics::bucket_seconds_max(size_t bucket) {
    return bucket + 1 >= bucket_count
               ? std::numeric_limits<double>::infinity()
               : std::ldexp(first_bucket_ns * 1e-9, static_cast<int>(bucket));
}

}  // namespace starling::node
