#pragma once

// What a running starlingd is made of: loops, workers, transport, one Node, the doors; and the
// order in which they come and go.
//
// Start: listen everywhere (so that an address in use costs nothing), then open the data, then
// serve. Stop: take nothing new, let what is under way finish while the node still works, stop the
// node, close what is left.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "env/encrypted/file_system.h"
#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/loop.h"
#include "env/posix/random.h"
#include "env/posix/transport.h"
#include "env/posix/workers.h"
#include "node/daemon/config.h"
#include "node/doors/door_loop.h"
#include "node/doors/grpc_door.h"
#include "node/doors/http_door.h"
#include "node/server/node.h"

namespace starling::node {

class Process {
  public:
    // `secret` is the cluster's; with a `master_key` the data is encrypted at rest.
    Process(Config config, std::string secret, std::optional<env::MasterKey> master_key);
    // Stops what start() has begun.
    ~Process();

    // The message of an error is for people. After OK the node will serve by itself: at once, or
    // when a new cluster's first state is durable.
    absl::Status start();
    bool is_serving() const { return node_->is_ready(); }
    // See NodeEnvironment::want_new_life: it should be stopped, and another Process started.
    bool wants_new_life() const { return wants_new_life_.load(std::memory_order_relaxed); }
    // Tells the log, and whoever waits for DATA_DIR/addresses.json, that the node serves, and
    // where.
    absl::Status announce();
    // Once, after start() was OK. An error says what could not be finished; the process is over all
    // the same.
    absl::Status stop();

  private:
    absl::Status listen();
    absl::Status start_node();
    absl::Status start_doors();
    env::FileSystem& data_files();
    absl::Status write_addresses();
    absl::Status stop_node();
    void end_threads();

    void run_on_first_loop(const std::function<void()>& task);

    Config config_;
    const std::string addresses_file_;

    env::PosixFileSystem files_;
    // Draws the keys and nonces of encrypted_, and nothing else.
    env::PosixRandom key_random_;
    // Over files_, where the data is encrypted.
    std::optional<env::EncryptedFileSystem> encrypted_;
    env::PosixWallClock wall_clock_;
    // One per thread that draws: the node's and its transport's loop, and the doors'.
    env::PosixRandom node_random_;
    env::PosixRandom transport_random_;
    env::PosixRandom door_random_;

    std::vector<std::unique_ptr<env::PosixLoop>> loops_;
    std::vector<std::thread> loop_threads_;
    std::unique_ptr<env::PosixWorkers> workers_;
    std::unique_ptr<env::PosixTransport> transport_;

    DoorLoop door_loop_;
    RequestIds request_ids_{wall_clock_, door_random_};
    DoorMetrics metrics_;
    std::unique_ptr<Listener> client_listener_;
    std::unique_ptr<Listener> http_listener_;

    std::unique_ptr<Node> node_;
    std::unique_ptr<GrpcDoor> grpc_;
    std::unique_ptr<DoorState> door_state_;
    std::unique_ptr<HttpDoor> http_;
    std::atomic<bool> wants_new_life_{false};
    bool has_ended_ = false;
};

}  // namespace starling::node
