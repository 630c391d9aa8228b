#pragma once

// What the doors count of their own: requests by method and code, and how long they took. Recording
// is two relaxed additions and never waits; keys and values are not to be seen here.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

#include "base/time.h"

namespace starling::node {

enum class Method : uint8_t {
    put,
    get,
    remove,
    batch,
    ping,
    join,
    status,
    ring,
    create_namespace,
    list_namespaces,
    inspect_replica,
    list_conflicts,
    http,
};
inline constexpr size_t method_count = 13;

// As in proto/starling/v1: "Put", "Get", ...; "http" for the HTTP door.
std::string_view to_string(Method method);
// "OK", "UNAVAILABLE", ...
std::string_view code_name(size_t code);

class DoorMetrics {
  public:
    static constexpr size_t code_count = 17;
    // Bucket b counts what took at most 50 us * 2^b, the last one all the rest.
    static constexpr size_t bucket_count = 22;

    struct MethodCounts {
        std::array<std::atomic<uint64_t>, code_count> by_code{};
        std::array<std::atomic<uint64_t>, bucket_count> by_duration{};
        std::atomic<uint64_t> nanoseconds{0};
    };

    void record(Method method, absl::StatusCode code, base::Duration elapsed);
    const MethodCounts& of(Method method) const { return methods_[static_cast<size_t>(method)]; }

    // Upper bound of a bucket, in seconds; infinity for the last one.
    static double bucket_seconds_max(size_t bucket);

    std::atomic<uint64_t> batch_streams{0};

  private:
    std::array<MethodCounts, method_count> methods_;
};

}  // namespace starling::node
