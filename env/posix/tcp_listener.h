#pragma once

// Accepts connections on one address for as long as it is not stopped. An error of accept(), such
// as running out of file descriptors, is waited out, never given up on. Loop thread only.

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include <boost/asio/ip/tcp.hpp>

#include "env/posix/loop.h"
#include "env/transport.h"

namespace starling::env {

class TcpListener {
  public:
    using OnSocket = std::function<void(boost::asio::ip::tcp::socket)>;

    TcpListener(PosixLoop& loop, OnSocket on_socket);
    ~TcpListener();
    TcpListener(const TcpListener&) = delete;
    TcpListener& operator=(const TcpListener&) = delete;

    // Binds and accepts from then on. The address with the real port; unavailable when it is taken.
    absl::StatusOr<Address> start(const Address& address);
    void stop();

    // Calls of accept() that failed.
    uint64_t errors() const { return state_->errors; }

  private:
    // Shared with the accept that is under way, which outlives a stop by one turn of the loop.
    struct State {
        State(PosixLoop& its_loop, OnSocket its_on_socket);
        PosixLoop& loop;
        OnSocket on_socket;
        boost::asio::ip::tcp::acceptor acceptor;
        TimerId retry = 0;
        uint64_t errors = 0;
        bool is_stopped = false;
    };

    static void accept_next(const std::shared_ptr<State>& state);

    std::shared_ptr<State> state_;
};

}  // namespace starling::env
