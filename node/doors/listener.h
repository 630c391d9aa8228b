#pragma once

// Accepts connections for a door, and never more than it may. A gRPC server that accepts by itself
// never answers again once it has run out of descriptors (1.51), and one that is flooded starves
// everything else in the process of them. So the doors accept here: over the cap a connection is
// closed at once, and when the process has no descriptor left all the same, a reserved one is given
// up for as long as it takes to turn the connection away.
//
// bind() -> start() -> stop(). Connections that come between bind() and start() wait in the
// kernel's queue.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/doors/connection_table.h"
#include "node/doors/door_loop.h"

namespace starling::node {

// Read by any thread.
struct ConnectionCounts {
    std::atomic<uint64_t> accepted{0};
    std::atomic<uint64_t> refused{0};
    std::atomic<uint64_t> open{0};
};

class Listener {
  public:
    // Owns the descriptor: non-blocking, close-on-exec, no delay.
    using Handler = std::function<void(int fd)>;

    // `address` as in parse_address; port 0 = any free one. Errors name the address:
    // invalid_argument, unavailable (in use), permission_denied.
    static absl::StatusOr<std::unique_ptr<Listener>> bind(DoorLoop& loop,
                                                          const std::string& address,
                                                          size_t connections_max);
    ~Listener();

    // The address with its real port.
    const std::string& address() const { return address_; }

    // `handler` is called on the loop.
    void start(Handler handler);
    // Closes the listening socket; after it the handler is not called. Not from the loop.
    // Idempotent.
    void stop();

    const ConnectionCounts& counts() const { return counts_; }

  private:
    Listener(DoorLoop& loop, size_t connections_max);
    absl::Status open(const std::string& address);
    // What became of one try to accept.
    enum class Accepted {
        one,
        // Nothing is waiting.
        none,
        // Something is waiting and cannot even be turned away: no descriptor, the reserved one
        // included.
        stuck,
    };

    void wait();
    void pause();
    void accept_waiting();
    Accepted accept_one();
    Accepted turn_one_away();
    bool is_full();
    void keep_counting();

    // Constant after bind().
    DoorLoop& loop_;
    const size_t connections_max_;
    std::string address_;

    // Owned by the loop.
    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::steady_timer recount_timer_;
    boost::asio::steady_timer pause_timer_;
    Handler handler_;
    ConnectionTable connections_;
    int reserve_fd_ = -1;
    bool is_stopped_ = false;

    ConnectionCounts counts_;
};

}  // namespace starling::node
