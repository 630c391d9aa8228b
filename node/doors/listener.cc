#include "node/doors/listener.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include <boost/asio/ip/v6_only.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "node/doors/address.h"

namespace starling::node {

namespace {

// How long the count of open connections, for people and for the cap, may lag behind.
constexpr std::chrono::milliseconds recount_interval(500);
constexpr std::chrono::milliseconds stuck_pause(50);
// Accepted in one turn of the loop, so that a flood does not starve the HTTP door.
constexpr int accepts_per_turn = 64;

int open_reserve() {
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

absl::Status cannot_listen(const std::string& address, const boost::system::error_code& error) {
    const std::string message = fmt::format("cannot listen on {}: {}", address, error.message());
    if (error == boost::asio::error::access_denied) {
        return absl::PermissionDeniedError(message);
    }
    return absl::UnavailableError(message);
}

}  // namespace

Listener::Listener(DoorLoop& loop, size_t connections_max)
    : loop_(loop),
      connections_max_(connections_max),
      acceptor_(loop.context()),
      recount_timer_(loop.context()),
      pause_timer_(loop.context()),
      reserve_fd_(open_reserve()) {}

Listener::~Listener() {
    stop();
    if (reserve_fd_ >= 0) {
        ::close(reserve_fd_);
    }
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::bind(DoorLoop& loop,
                                                         const std::string& address,
                                                         size_t connections_max) {
    std::unique_ptr<Listener> listener(new Listener(loop, connections_max));
    STARLING_RETURN_IF_ERROR(listener->open(address));
    return listener;
}

absl::Status Listener::open(const std::string& address) {
    STARLING_ASSIGN_OR_RETURN(const auto endpoint, parse_address(address));
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) {
        acceptor_.set_option(boost::asio::socket_base::reuse_address(true), error);
    }
    if (!error && endpoint.protocol() == boost::asio::ip::tcp::v6()) {
        acceptor_.set_option(boost::asio::ip::v6_only(true), error);
    }
    if (!error) {
        ::fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
        acceptor_.bind(endpoint, error);
    }
    if (!error) {
        acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
    }
    if (!error) {
        acceptor_.non_blocking(true, error);
    }
    if (error) {
        return cannot_listen(address, error);
    }
    address_ = to_string(acceptor_.local_endpoint(error));
    return absl::OkStatus();
}

void Listener::start(Handler handler) {
    loop_.post([this, handler = std::move(handler)]() mutable {
        handler_ = std::move(handler);
        wait();
        keep_counting();
    });
}

void Listener::stop() {
    if (is_stopped_) {
        return;
    }
    loop_.run_and_wait([this] {
        is_stopped_ = true;
        boost::system::error_code ignored;
        acceptor_.close(ignored);
        recount_timer_.cancel();
        pause_timer_.cancel();
    });
    // The handlers that the close cancelled have run once this has.
    loop_.run_and_wait([] {});
}

void Listener::wait() {
    acceptor_.async_wait(boost::asio::socket_base::wait_read,
                         [this](const boost::system::error_code& error) {
                             if (!is_stopped_ && error != boost::asio::error::operation_aborted) {
                                 accept_waiting();
                             }
                         });
}

// The socket stays readable while nothing can be accepted: to wait for it would be to spin.
void Listener::pause() {
    pause_timer_.expires_after(stuck_pause);
    pause_timer_.async_wait([this](const boost::system::error_code& error) {
        if (!is_stopped_ && !error) {
            accept_waiting();
        }
    });
}

void Listener::accept_waiting() {
    for (int i = 0; i < accepts_per_turn; ++i) {
        const Accepted accepted = accept_one();
        if (accepted == Accepted::stuck) {
            pause();
            return;
        }
        if (accepted == Accepted::none) {
            break;
        }
    }
    wait();
}

Listener::Accepted Listener::accept_one() {
    const int fd =
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            return turn_one_away();
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return Accepted::none;
        }
        // ECONNABORTED and the like are that connection's trouble; ENOBUFS and ENOMEM are ours.
        return errno == ENOBUFS || errno == ENOMEM ? Accepted::stuck : Accepted::one;
    }
    if (is_full()) {
        ::close(fd);
        counts_.refused.fetch_add(1, std::memory_order_relaxed);
        return Accepted::one;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections_.add(fd);
    counts_.accepted.fetch_add(1, std::memory_order_relaxed);
    counts_.open.store(connections_.size(), std::memory_order_relaxed);
    handler_(fd);
    return Accepted::one;
}

Listener::Accepted Listener::turn_one_away() {
    if (reserve_fd_ >= 0) {
        ::close(reserve_fd_);
    }
    const int fd = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
    const int error = errno;
    if (fd >= 0) {
        ::close(fd);
        counts_.refused.fetch_add(1, std::memory_order_relaxed);
    }
    reserve_fd_ = open_reserve();
    if (fd >= 0) {
        return Accepted::one;
    }
    // Without a free descriptor the kernel does not look whether anybody waits, so only this try
    // tells.
    return error == EMFILE || error == ENFILE ? Accepted::stuck : Accepted::none;
}

bool Listener::is_full() {
    if (connections_.size() < connections_max_) {
        return false;
    }
    return connections_.recount() >= connections_max_;
}

void Listener::keep_counting() {
    recount_timer_.expires_after(recount_interval);
    recount_timer_.async_wait([this](const boost::system::error_code& error) {
        if (error || is_stopped_) {
            return;
        }
        counts_.open.store(connections_.recount(), std::memory_order_relaxed);
        keep_counting();
    });
}

}  // namespace starling::node
