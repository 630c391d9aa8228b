#pragma once

// What PosixTransport consists of: the peers, the connections, and who waits for which. Loop thread
// only.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include <boost/asio/ip/tcp.hpp>

#include "env/posix/backoff.h"
#include "env/posix/send_queue.h"
#include "env/posix/tcp_connection.h"
#include "env/posix/tcp_listener.h"
#include "env/posix/transport.h"
#include "env/random.h"

namespace starling::env {

class PosixTransport::Core final : public TcpConnection::Owner,
                                   public std::enable_shared_from_this<Core> {
  public:
    Core(PosixLoop& loop, Random& random, Options options);

    absl::StatusOr<Address> start();
    void stop();
    bool is_started() const { return listener_ != nullptr; }

    void set_handler(Handler handler) { handler_ = std::move(handler); }
    absl::Status send(const Address& to, std::string frame);
    absl::Status reply(ConnectionId id, std::string frame);
    absl::Status peer_status(const Address& to) const;
    PosixTransportStats stats() const;

    void on_open(TcpConnection& connection) override;
    void on_frame(TcpConnection& connection, std::string_view frame) override;
    void on_closed(TcpConnection& connection, const absl::Status& why) override;
    void on_written(uint64_t bytes) override;

  private:
    struct Peer {
        boost::asio::ip::tcp::endpoint endpoint;
        Backoff backoff;
        // Dialing or open; null in the other states.
        std::shared_ptr<TcpConnection> connection;
        base::MonotonicTime opened_at;
        // Set while the backoff lasts.
        TimerId retry = 0;
        // What gathers until the connection is open.
        std::unique_ptr<SendQueue> waiting;
        // Why the last dial failed; OK after one that did not.
        absl::Status error;

        bool is_idle() const { return connection == nullptr && retry == 0; }
    };
    struct Entry {
        std::shared_ptr<TcpConnection> connection;
        // Null for those that were accepted.
        Peer* peer = nullptr;
    };

    absl::Status check_frame(const std::string& frame) const;
    absl::StatusOr<Peer*> find_or_add_peer(const Address& address);
    void forget_idle_peers();
    absl::Status enqueue(SendQueue& queue, std::string frame, std::string_view to);
    std::unique_ptr<SendQueue> make_queue();

    void dial(Peer& peer);
    void on_retry(Peer& peer);
    void accept(boost::asio::ip::tcp::socket socket);
    std::shared_ptr<TcpConnection> make_connection(boost::asio::ip::tcp::socket socket,
                                                   Handshake::Role role);
    void on_peer_lost(Peer& peer, bool was_open, const absl::Status& why);
    void count_end(const absl::Status& why);

    void send_on(TcpConnection& connection);
    void flush_all();
    void schedule_tick();
    void tick();
    void log(std::string_view line);

    PosixLoop& loop_;
    Random& random_;
    const Options options_;
    Handler handler_;

    bool is_stopped_ = false;
    std::unique_ptr<TcpListener> listener_;
    TimerId tick_timer_ = 0;
    // What all queues together hold.
    const std::shared_ptr<ByteBudget> budget_;
    std::map<Address, Peer> peers_;
    absl::btree_map<ConnectionId, Entry> connections_;
    ConnectionId last_connection_ = 0;
    size_t incoming_ = 0;
    size_t incoming_unproved_ = 0;

    // Connections that have something to write when this turn of the loop ends.
    std::vector<std::shared_ptr<TcpConnection>> dirty_;

    PosixTransportStats stats_;
    // Of a listener that is gone.
    uint64_t accept_errors_ = 0;
    base::MonotonicTime next_log_at_;
    uint64_t lines_suppressed_ = 0;
};

}  // namespace starling::env
