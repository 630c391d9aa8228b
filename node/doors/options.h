#pragma once

// What the doors can be told, with its defaults. docs/limits.md has the same table for people: each
// number here is a limit that somebody outside can run into.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace starling::node {

// What a door refuses before the node sees it.
struct RequestLimits {
    size_t key_bytes_max = 64u << 10;
    size_t value_bytes_max = 16u << 20;
    size_t context_bytes_max = 64u << 10;
    size_t session_bytes_max = 64u << 10;
    size_t namespace_bytes_max = 255;
};

struct GrpcDoorOptions {
    RequestLimits requests;
    size_t connections_max = 1024;
    // Calls at once on one connection.
    int streams_per_connection_max = 1024;
    int metadata_bytes_max = 8 << 10;
    // Above the largest request: what else a message carries.
    size_t message_slack_bytes = 256u << 10;
    // Bounds what gRPC itself buffers, over all connections.
    size_t grpc_memory_bytes_max = 256u << 20;
    // Over all connections: requests handed to the node and results not yet sent.
    size_t requests_in_flight_max = 16 << 10;
    size_t bytes_in_flight_max = 128u << 20;
    // Of one Batch stream, under the limits above.
    size_t batch_requests_in_flight_max = 1024;
    size_t batch_bytes_in_flight_max = 32u << 20;
    size_t batch_operations_per_message_max = 4096;
    // A result message is sent when it has grown to this, or nothing more is ready.
    size_t batch_message_bytes_target = 1u << 20;

    // A connection that has not spoken HTTP/2 by then is closed.
    base::Duration handshake_timeout = std::chrono::seconds(10);
    base::Duration connection_idle_max = std::chrono::minutes(10);
    // The node pings a silent client; a client may ping this often.
    base::Duration keepalive_interval = std::chrono::seconds(60);
    base::Duration keepalive_timeout = std::chrono::seconds(20);
    base::Duration client_ping_interval_min = std::chrono::seconds(10);
};

struct HttpDoorOptions {
    size_t connections_max = 32;
    uint32_t header_bytes_max = 8 << 10;
    // A request must be complete, and its answer be taken, within these.
    base::Duration request_timeout = std::chrono::seconds(10);
    base::Duration answer_timeout = std::chrono::seconds(10);
    base::Duration idle_timeout = std::chrono::seconds(30);
    // What the node may take to tell its state.
    base::Duration status_timeout = std::chrono::seconds(5);
};

}  // namespace starling::node
