#include "env/posix/tcp_listener.h"

#include <chrono>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/status_macros.h"
#include "env/posix/tcp_address.h"

namespace starling::env {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr base::Duration pause_after_error = std::chrono::milliseconds(50);

}  // namespace

TcpListener::State::State(PosixLoop& its_loop, OnSocket its_on_socket)
    : loop(its_loop), on_socket(std::move(its_on_socket)), acceptor(its_loop.io_context()) {}

TcpListener::TcpListener(PosixLoop& loop, OnSocket on_socket)
    : state_(std::make_shared<State>(loop, std::move(on_socket))) {}

TcpListener::~TcpListener() {
    stop();
}

absl::StatusOr<Address> TcpListener::start(const Address& address) {
    STARLING_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, parse_address(address));
    tcp::acceptor& acceptor = state_->acceptor;
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) {
        acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    }
    if (!error) {
        acceptor.bind(endpoint, error);
    }
    if (!error) {
        acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
    }
    if (error) {
        return absl::UnavailableError(
            fmt::format("cannot listen on {}: {}", address, error.message()));
    }
    accept_next(state_);
    return to_address(acceptor.local_endpoint());
}

void TcpListener::stop() {
    if (state_->is_stopped) {
        return;
    }
    state_->is_stopped = true;
    state_->on_socket = nullptr;
    state_->loop.cancel(state_->retry);
    error_code ignored;
    state_->acceptor.close(ignored);
}

void TcpListener::accept_next(const std::shared_ptr<State>& state) {
    state->acceptor.async_accept([state](const error_code& error, tcp::socket socket) {
        if (state->is_stopped) {
            return;
        }
        if (!error) {
            state->on_socket(std::move(socket));
        }
        if (state->is_stopped) {
            return;
        }
        if (!error || error == boost::asio::error::connection_aborted) {
            accept_next(state);
            return;
        }
        ++state->errors;
        state->retry =
            state->loop.schedule_after(pause_after_error, [state] { accept_next(state); });
    });
}

}  // namespace starling::env
