#pragma once

// One TCP connection between two transports: dials or was accepted, proves itself and lets the
// other end prove itself, then carries frames both ways. Loop thread only.
//
// States: connecting (dialer only) -> handshaking -> open -> closed; every state may go to closed.
//
// Invariants:
// 1. No frame is sent or handed up before both ends have proved that they hold the secret.
// 2. After close() or abandon() the owner is not called any more.
// 3. One write is under way at most; what is queued meanwhile leaves together in the next.

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include <boost/asio/ip/tcp.hpp>

#include "base/time.h"
#include "env/posix/frame.h"
#include "env/posix/handshake.h"
#include "env/posix/loop.h"
#include "env/posix/send_queue.h"
#include "env/transport.h"

namespace starling::env {

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
  public:
    enum class State { connecting, handshaking, open, closed };

    class Owner {
      public:
        // Proved; the queue may be set and frames may follow.
        virtual void on_open(TcpConnection& connection) = 0;
        virtual void on_frame(TcpConnection& connection, std::string_view frame) = 0;
        // Once. Never from inside a call of the owner's, but for tick().
        virtual void on_closed(TcpConnection& connection, const absl::Status& why) = 0;
        // After a write has ended.
        virtual void on_written(uint64_t bytes) = 0;

      protected:
        ~Owner() = default;
    };

    struct Options {
        ConnectionId id = 0;
        Handshake::Role role = Handshake::Role::dialer;
        // Must outlive the connection.
        std::string_view secret;
        size_t frame_bytes_max = 0;
        size_t batch_bytes_max = 0;
        // For the dial and the handshake together.
        base::Duration handshake_timeout{0};
        base::Duration keepalive_interval{0};
        base::Duration idle_timeout{0};
    };

    TcpConnection(PosixLoop& loop,
                  boost::asio::ip::tcp::socket socket,
                  Owner& owner,
                  const Options& options);
    TcpConnection(const TcpConnection&) = delete;
    TcpConnection& operator=(const TcpConnection&) = delete;

    void dial(const boost::asio::ip::tcp::endpoint& endpoint);
    void start_accepted();

    // Takes over what has gathered while the connection was made. REQUIRES: open.
    void set_queue(std::unique_ptr<SendQueue> queue) { queue_ = std::move(queue); }
    // Null until it is set.
    SendQueue* queue() { return queue_.get(); }

    // Writes what is queued, unless a write is under way, whose end will do it.
    void flush();
    bool is_writing() const { return is_writing_; }
    // The owner's note that it will call flush() before the turn of the loop ends.
    bool is_flush_pending() const { return is_flush_pending_; }
    void set_flush_pending() { is_flush_pending_ = true; }

    // Closes when a deadline has passed; sends a keepalive when nothing was sent for long.
    void tick(base::MonotonicTime now);

    // Closes without telling the owner, which must not be called any more.
    void abandon();

    State state() const { return state_; }
    ConnectionId id() const { return options_.id; }
    Handshake::Role role() const { return options_.role; }
    const std::string& remote() const { return remote_; }

  private:
    using Step = void (TcpConnection::*)();

    void begin_handshake();
    void send_hello(Step then);
    void receive(size_t count, Step then);
    void transmit(std::string bytes, Step then);
    void on_hello();
    void on_proof();
    void on_answer();
    void await_hello();
    void await_proof();
    void await_answer();
    void close_refused();
    void open();

    void read_some();
    void on_read(size_t count);
    void write_batch();
    void close(const absl::Status& why);
    void shut();

    PosixLoop& loop_;
    Owner* owner_;
    const Options options_;
    boost::asio::ip::tcp::socket socket_;
    std::string remote_;
    State state_ = State::connecting;
    base::MonotonicTime deadline_;

    Handshake handshake_;
    std::array<char, hello_bytes> incoming_{};
    size_t incoming_bytes_ = 0;
    std::string outgoing_;

    FrameDecoder decoder_;
    std::unique_ptr<SendQueue> queue_;
    bool is_writing_ = false;
    bool is_flush_pending_ = false;
    base::MonotonicTime last_received_;
    base::MonotonicTime last_sent_;
};

}  // namespace starling::env
