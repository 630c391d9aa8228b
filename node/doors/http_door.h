#pragma once

// /metrics, /healthz, /readyz and /status over HTTP/1.1: GET only, bounded in connections, header
// size and time. Runs on the doors' loop. No key and no value appears in any page.

#include <memory>

#include "node/api.h"
#include "node/doors/door_loop.h"
#include "node/doors/door_state.h"
#include "node/doors/listener.h"
#include "node/doors/options.h"

namespace starling::node {

class HttpDoor {
  public:
    // All of it is borrowed and outlives the door.
    struct Parts {
        DoorLoop& loop;
        Listener& listener;
        AdminService& admin;
        DoorMetrics& metrics;
        const DoorState& state;
    };

    // Serves from now on.
    HttpDoor(HttpDoorOptions options, Parts parts);
    // Stops.
    ~HttpDoor();
    HttpDoor(const HttpDoor&) = delete;
    HttpDoor& operator=(const HttpDoor&) = delete;

    // Closes the listener and all connections. Not from the loop. Idempotent.
    void stop();

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace starling::node
