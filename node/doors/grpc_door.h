#pragma once

// The public API over gRPC: the services of proto/starling/v1, health checking and reflection.
// Connections come from a Listener, so their number is capped before gRPC sees them.
//
// start() -> serving -> drain() -> (the node stops) -> shutdown(). drain() gives the calls under
// way time to finish while the node still works; the node's stop answers the rest; shutdown()
// closes what is left.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "node/api.h"
#include "node/doors/admission.h"
#include "node/doors/door_metrics.h"
#include "node/doors/listener.h"
#include "node/doors/options.h"
#include "node/doors/request_ids.h"

namespace starling::node {

class GrpcDoor {
  public:
    // All of it is borrowed and outlives the door.
    struct Parts {
        Listener& listener;
        KvService& kv;
        AdminService& admin;
        RequestIds& request_ids;
        DoorMetrics& metrics;
        base::NodeId node;
        std::string version;
        // Any thread.
        std::function<bool()> is_ready;
    };

    static absl::StatusOr<std::unique_ptr<GrpcDoor>> start(GrpcDoorOptions options, Parts parts);
    // Shuts down.
    ~GrpcDoor();

    // Takes no new connection and no new request (reason stopping), tells health checkers, ends
    // Batch streams once what they were given is answered. Returns when nothing is in flight, or
    // after `patience`: then false.
    bool drain(base::Duration patience);
    // Cancels what is still open and waits until each call's callback has run. REQUIRES: the node
    // answers, or has dropped, every callback it was given. Idempotent.
    void shutdown();

    const Admission& admission() const;

  private:
    class Impl;
    explicit GrpcDoor(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace starling::node
