#pragma once

// Both doors over a fake node, on free loopback ports.

#include <memory>
#include <string>

#include "gtest/gtest.h"

#include "env/clock.h"
#include "env/random.h"
#include "node/doors/door_loop.h"
#include "node/doors/grpc_door.h"
#include "node/doors/http_door.h"
#include "tests/unit/node/doors/fake_node.h"

namespace starling::node {

class FixedWallClock final : public env::WallClock {
  public:
    base::WallTime wall_now() const override {
        return base::WallTime(std::chrono::milliseconds(1'700'000'000'000));
    }
};

class CountingRandom final : public env::Random {
  public:
    uint64_t next() override { return ++last_; }

  private:
    uint64_t last_ = 100;
};

class Doors {
  public:
    explicit Doors(GrpcDoorOptions grpc_options = {}, HttpDoorOptions http_options = {}) {
        grpc_listener = *Listener::bind(loop, "127.0.0.1:0", grpc_options.connections_max);
        http_listener = *Listener::bind(loop, "127.0.0.1:0", http_options.connections_max);
        grpc = *GrpcDoor::start(grpc_options,
                                {.listener = *grpc_listener,
                                 .kv = node,
                                 .admin = node,
                                 .request_ids = request_ids,
                                 .metrics = metrics,
                                 .node = base::NodeId(0xabc),
                                 .version = "9.9.9",
                                 .is_ready = [this] { return is_ready.load(); }});
        state =
            std::make_unique<DoorState>(DoorState{.metrics = metrics,
                                                  .admission = grpc->admission(),
                                                  .grpc_connections = grpc_listener->counts(),
                                                  .http_connections = http_listener->counts(),
                                                  .is_ready = [this] { return is_ready.load(); }});
        http = std::make_unique<HttpDoor>(http_options,
                                          HttpDoor::Parts{.loop = loop,
                                                          .listener = *http_listener,
                                                          .admin = node,
                                                          .metrics = metrics,
                                                          .state = *state});
    }
    ~Doors() {
        node.release();
        http->stop();
    }

    std::atomic<bool> is_ready{true};
    FakeNode node;
    FixedWallClock wall_clock;
    CountingRandom random;
    RequestIds request_ids{wall_clock, random};
    DoorMetrics metrics;
    DoorLoop loop;
    std::unique_ptr<Listener> grpc_listener;
    std::unique_ptr<Listener> http_listener;
    std::unique_ptr<GrpcDoor> grpc;
    std::unique_ptr<DoorState> state;
    std::unique_ptr<HttpDoor> http;
};

}  // namespace starling::node
