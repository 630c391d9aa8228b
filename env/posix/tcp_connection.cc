#include "env/posix/tcp_connection.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "env/posix/random.h"
#include "env/posix/tcp_address.h"

namespace starling::env {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

Challenge fresh_challenge() {
    Challenge challenge;
    fill_random(challenge.data(), challenge.size());
    return challenge;
}

absl::Status io_error(std::string_view what, const error_code& error) {
    return absl::UnavailableError(fmt::format("{}: {}", what, error.message()));
}

static_assert(hello_bytes >= proof_bytes && hello_bytes >= answer_bytes);

}  // namespace

TcpConnection::TcpConnection(PosixLoop& loop,
                             tcp::socket socket,
                             Owner& owner,
                             const Options& options)
    : loop_(loop),
      owner_(&owner),
      options_(options),
      socket_(std::move(socket)),
      deadline_(loop.now() + options.handshake_timeout),
      handshake_(options.role, options.secret, fresh_challenge()),
      decoder_(options.frame_bytes_max) {}

void TcpConnection::dial(const tcp::endpoint& endpoint) {
    remote_ = to_address(endpoint);
    socket_.async_connect(endpoint, [self = shared_from_this()](const error_code& error) {
        if (self->state_ == State::closed) {
            return;
        }
        if (error) {
            self->close(io_error("cannot connect", error));
        } else {
            self->begin_handshake();
        }
    });
}

void TcpConnection::start_accepted() {
    error_code error;
    const tcp::endpoint endpoint = socket_.remote_endpoint(error);
    remote_ = error ? "an unknown address" : to_address(endpoint);
    begin_handshake();
}

// --- Handshake ---

void TcpConnection::begin_handshake() {
    state_ = State::handshaking;
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    if (options_.role == Handshake::Role::dialer) {
        transmit(handshake_.hello(), &TcpConnection::await_hello);
    } else {
        await_hello();
    }
}

void TcpConnection::await_hello() {
    receive(hello_bytes, &TcpConnection::on_hello);
}
void TcpConnection::await_proof() {
    receive(proof_bytes, &TcpConnection::on_proof);
}
void TcpConnection::await_answer() {
    receive(answer_bytes, &TcpConnection::on_answer);
}

void TcpConnection::on_hello() {
    const absl::Status hello = handshake_.take_hello({incoming_.data(), incoming_bytes_});
    if (!hello.ok()) {
        close(hello);
    } else if (options_.role == Handshake::Role::dialer) {
        transmit(handshake_.proof(), &TcpConnection::await_answer);
    } else {
        transmit(handshake_.hello(), &TcpConnection::await_proof);
    }
}

void TcpConnection::on_proof() {
    const absl::Status proof = handshake_.check_proof({incoming_.data(), incoming_bytes_});
    if (proof.ok()) {
        transmit(handshake_.accept(), &TcpConnection::open);
    } else {
        transmit(Handshake::refuse(), &TcpConnection::close_refused);
    }
}

void TcpConnection::close_refused() {
    close(handshake_.check_proof({incoming_.data(), incoming_bytes_}));
}

void TcpConnection::on_answer() {
    const absl::Status answer = handshake_.check_answer({incoming_.data(), incoming_bytes_});
    if (answer.ok()) {
        open();
    } else {
        close(answer);
    }
}

void TcpConnection::receive(size_t count, Step then) {
    incoming_bytes_ = count;
    asio::async_read(socket_,
                     asio::buffer(incoming_.data(), count),
                     [self = shared_from_this(), then](const error_code& error, size_t) {
                         if (self->state_ == State::closed) {
                             return;
                         }
                         if (error) {
                             self->close(io_error("closed during the handshake", error));
                         } else {
                             ((*self).*then)();
                         }
                     });
}

void TcpConnection::transmit(std::string bytes, Step then) {
    outgoing_ = std::move(bytes);
    asio::async_write(socket_,
                      asio::buffer(outgoing_),
                      [self = shared_from_this(), then](const error_code& error, size_t) {
                          if (self->state_ == State::closed) {
                              return;
                          }
                          if (error) {
                              self->close(io_error("closed during the handshake", error));
                          } else {
                              ((*self).*then)();
                          }
                      });
}

void TcpConnection::open() {
    state_ = State::open;
    last_received_ = last_sent_ = loop_.now();
    owner_->on_open(*this);
    if (state_ == State::open) {
        read_some();
        flush();
    }
}

// --- Frames ---

void TcpConnection::read_some() {
    const FrameDecoder::Room room = decoder_.writable();
    socket_.async_read_some(asio::buffer(room.data, room.size),
                            [self = shared_from_this()](const error_code& error, size_t count) {
                                if (self->state_ == State::closed) {
                                    return;
                                }
                                if (error) {
                                    self->close(io_error("connection lost", error));
                                } else {
                                    self->on_read(count);
                                }
                            });
}

void TcpConnection::on_read(size_t count) {
    last_received_ = loop_.now();
    decoder_.commit(count);
    // The handler may close this connection, or stop the transport.
    while (state_ == State::open) {
        const absl::StatusOr<std::optional<FrameDecoder::Frame>> frame = decoder_.next();
        if (!frame.ok()) {
            close(frame.status());
            return;
        }
        if (!*frame) {
            read_some();
            return;
        }
        if ((*frame)->kind == FrameKind::data) {
            owner_->on_frame(*this, (*frame)->payload);
        }
    }
}

void TcpConnection::flush() {
    is_flush_pending_ = false;
    if (state_ == State::open && !is_writing_ && queue_ != nullptr && !queue_->empty()) {
        write_batch();
    }
}

void TcpConnection::write_batch() {
    is_writing_ = true;
    std::vector<asio::const_buffer> buffers;
    for (const std::string_view bytes : queue_->take_batch(options_.batch_bytes_max)) {
        buffers.emplace_back(bytes.data(), bytes.size());
    }
    asio::async_write(
        socket_, buffers, [self = shared_from_this()](const error_code& error, size_t count) {
            self->is_writing_ = false;
            if (self->state_ == State::closed) {
                return;
            }
            if (error) {
                self->close(io_error("connection lost", error));
                return;
            }
            self->last_sent_ = self->loop_.now();
            self->queue_->batch_written();
            self->owner_->on_written(count);
            self->flush();
        });
}

// --- The end ---

void TcpConnection::tick(base::MonotonicTime now) {
    if (state_ == State::connecting || state_ == State::handshaking) {
        if (now > deadline_) {
            close(absl::DeadlineExceededError("no answer in time"));
        }
        return;
    }
    if (state_ != State::open) {
        return;
    }
    if (now - last_received_ > options_.idle_timeout) {
        close(absl::DeadlineExceededError("nothing was heard of the peer for too long"));
        return;
    }
    if (now - last_sent_ >= options_.keepalive_interval && !is_writing_ && queue_->empty()) {
        queue_->append_keepalive();
        flush();
    }
}

void TcpConnection::close(const absl::Status& why) {
    if (state_ == State::closed) {
        return;
    }
    shut();
    const std::shared_ptr<TcpConnection> keep_alive = shared_from_this();
    std::exchange(owner_, nullptr)->on_closed(*this, why);
}

void TcpConnection::abandon() {
    owner_ = nullptr;
    shut();
}

void TcpConnection::shut() {
    state_ = State::closed;
    error_code ignored;
    socket_.close(ignored);
}

}  // namespace starling::env
