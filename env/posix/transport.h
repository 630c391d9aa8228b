#pragma once

// Frames over TCP (docs/formats/frame.md): listens on one address, dials peers when something is to
// be sent to them, keeps the connections, and proves and demands the cluster secret on each.
//
// A peer, seen from here: idle -> (send) dialing -> open -> (lost) idle; dialing -> (failed)
// waiting -> (backoff over) dialing, or idle when nothing was queued meanwhile. What is queued
// while a dial fails is dropped: frames are worth little when they are old, and their senders have
// timers.
//
// Everything but the constructor, and start() before the loop runs, is for the loop thread.
//
// Invariants:
// 1. Bytes queued stay below the limits of each peer and of the whole.
// 2. No input of a peer, proved or not, does more than close its own connection.
// 3. After stop() nothing is in flight and no handler is called.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "env/posix/loop.h"
#include "env/random.h"
#include "env/transport.h"

namespace starling::env {

struct PosixTransportStats {
    uint64_t frames_sent = 0;
    uint64_t frames_received = 0;
    uint64_t bytes_received = 0;
    uint64_t bytes_written = 0;
    uint64_t writes = 0;
    // Frames that were queued and never left.
    uint64_t frames_dropped = 0;
    uint64_t frames_refused_queue_full = 0;
    uint64_t connections_accepted = 0;
    uint64_t connections_refused_limit = 0;
    // Calls of accept() that failed, as for want of file descriptors; each is tried again.
    uint64_t accept_errors = 0;
    uint64_t dials = 0;
    uint64_t dials_failed = 0;
    uint64_t wrong_secrets = 0;
    // Connections closed for what the other end sent.
    uint64_t malformed = 0;
    uint64_t timeouts = 0;
    // Now.
    uint64_t bytes_queued = 0;
    uint64_t connections_open = 0;
};

class PosixTransport final : public Transport {
  public:
    struct Options {
        // A port of 0 asks for any free one.
        Address listen = "127.0.0.1:0";
        // What local_address() says; empty: where it listens. A port of 0 stands for the real one.
        Address advertise = {};
        std::string secret = {};

        size_t frame_bytes_max = env::frame_bytes_max;
        uint64_t peer_queue_bytes_max = 64u << 20;
        uint64_t total_queue_bytes_max = 256u << 20;
        size_t batch_bytes_max = 1u << 20;
        size_t peers_max = 4096;
        size_t incoming_max = 1024;
        size_t incoming_unproved_max = 64;

        base::Duration handshake_timeout = std::chrono::seconds(5);
        base::Duration keepalive_interval = std::chrono::seconds(3);
        base::Duration idle_timeout = std::chrono::seconds(10);
        base::Duration backoff_first = std::chrono::milliseconds(20);
        base::Duration backoff_max = std::chrono::seconds(1);

        // Told about refused and broken connections, at most once per second. May be empty.
        std::function<void(std::string_view)> log = {};
    };

    // `random` is for the jitter of reconnects. Loop and random must outlive the transport.
    PosixTransport(PosixLoop& loop, Random& random, Options options);
    // REQUIRES: stopped, or never started.
    ~PosixTransport();
    PosixTransport(const PosixTransport&) = delete;
    PosixTransport& operator=(const PosixTransport&) = delete;

    // Listens. unavailable: the address is taken.
    absl::Status start();
    // Closes everything. Once; a transport that was never started may be stopped too.
    void stop();

    void set_handler(Handler handler) override;
    absl::Status send(const Address& to, std::string frame) override;
    absl::Status reply(ConnectionId connection, std::string frame) override;
    absl::Status peer_status(const Address& to) const override;
    Address local_address() const override { return local_address_; }

    PosixTransportStats stats() const;

  private:
    class Core;

    // Shared with the flush that the core posts to its loop.
    const std::shared_ptr<Core> core_;
    Address local_address_;
};

}  // namespace starling::env
