#pragma once

// Frames between nodes. A frame is a string of bytes that arrives whole and unchanged, once or not
// at all (a fault may repeat it: receivers must bear that), in order within one connection. Nothing
// is acknowledged here: whoever needs an answer asks for one and arms a timer.
//
// A connection is made when something is to be sent and is kept. Both ends prove that they hold the
// cluster secret before the first frame passes; a peer with another secret gets no frame through.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace starling::env {

// "host:port", an IPv4 or bracketed IPv6 literal.
using Address = std::string;

// One connection of this process, for answering to a peer that has no address of its own (a tool).
// Never used twice in the life of a process.
using ConnectionId = uint64_t;

inline constexpr size_t frame_bytes_max = 64u << 20;

struct Delivery {
    // Where the frame came in.
    ConnectionId connection = 0;
    // The remote end as the kernel (or the simulator) names it: for logs only.
    std::string_view remote;
    // Valid during the call.
    std::string_view frame;
};

class Transport {
  public:
    using Handler = std::function<void(const Delivery&)>;

    // Called on the transport's loop for each frame. Set once, before start.
    virtual void set_handler(Handler handler) = 0;

    // Queues a frame; returns at once. invalid_argument: too long, or not an address.
    // resource_exhausted: the peer's queue is full (the frame is dropped). OK promises nothing
    // about arrival. Frames queued in one turn of the loop leave in one write. Loop thread only.
    virtual absl::Status send(const Address& to, std::string frame) = 0;

    // Answers on the connection a frame came in on; dropped if that is gone. Loop thread only.
    virtual absl::Status reply(ConnectionId connection, std::string frame) = 0;

    // OK while the last dial of `to` did not fail, or none was made. permission_denied with the
    // reason wrong_secret: the peer holds another cluster secret. unavailable: it does not answer.
    // Loop thread only.
    virtual absl::Status peer_status(const Address& to) const {
        static_cast<void>(to);
        return absl::OkStatus();
    }

    // The address others reach this transport at (with the real port where port 0 was asked for).
    virtual Address local_address() const = 0;

  protected:
    ~Transport() = default;
};

}  // namespace starling::env
