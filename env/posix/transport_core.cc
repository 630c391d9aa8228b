#include "env/posix/transport_core.h"

#include <algorithm>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"
#include "env/posix/tcp_address.h"

namespace starling::env {
namespace {

using boost::asio::ip::tcp;

constexpr base::Duration log_interval = std::chrono::seconds(1);

// Often enough to notice each deadline within a quarter of its length.
base::Duration tick_interval(const PosixTransport::Options& options) {
    const base::Duration shortest =
        std::min({options.handshake_timeout, options.keepalive_interval, options.idle_timeout});
    return std::clamp<base::Duration>(
        shortest / 4, std::chrono::milliseconds(1), std::chrono::milliseconds(500));
}

}  // namespace

PosixTransport::Core::Core(PosixLoop& loop, Random& random, Options options)
    : loop_(loop),
      random_(random),
      options_(std::move(options)),
      budget_(
          std::make_shared<ByteBudget>(ByteBudget{.bytes_max = options_.total_queue_bytes_max})),
      next_log_at_(base::MonotonicTime::min()) {
    STARLING_CHECK(options_.frame_bytes_max <= env::frame_bytes_max);
}

absl::StatusOr<Address> PosixTransport::Core::start() {
    STARLING_CHECK(!is_started() && !is_stopped_);
    listener_ = std::make_unique<TcpListener>(
        loop_, [this](tcp::socket socket) { accept(std::move(socket)); });
    absl::StatusOr<Address> bound = listener_->start(options_.listen);
    if (!bound.ok()) {
        listener_ = nullptr;
        return bound;
    }
    schedule_tick();
    return bound;
}

void PosixTransport::Core::stop() {
    if (is_stopped_) {
        return;
    }
    is_stopped_ = true;
    accept_errors_ = listener_ ? listener_->errors() : 0;
    listener_ = nullptr;
    loop_.cancel(tick_timer_);
    for (auto& [id, entry] : connections_) {
        entry.connection->abandon();
        if (SendQueue* const queue = entry.connection->queue(); queue != nullptr) {
            stats_.frames_dropped += queue->clear();
        }
    }
    for (auto& [address, peer] : peers_) {
        loop_.cancel(peer.retry);
        stats_.frames_dropped += peer.waiting->clear();
    }
    connections_.clear();
    peers_.clear();
    dirty_.clear();
}

// --- Sending ---

absl::Status PosixTransport::Core::send(const Address& to, std::string frame) {
    STARLING_RETURN_IF_ERROR(check_frame(frame));
    STARLING_ASSIGN_OR_RETURN(Peer* const peer, find_or_add_peer(to));
    TcpConnection* const connection = peer->connection.get();
    if (connection != nullptr && connection->state() == TcpConnection::State::open) {
        STARLING_RETURN_IF_ERROR(enqueue(*connection->queue(), std::move(frame), to));
        send_on(*connection);
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(enqueue(*peer->waiting, std::move(frame), to));
    if (peer->is_idle()) {
        dial(*peer);
    }
    return absl::OkStatus();
}

absl::Status PosixTransport::Core::reply(ConnectionId id, std::string frame) {
    STARLING_RETURN_IF_ERROR(check_frame(frame));
    const auto entry = connections_.find(id);
    if (entry == connections_.end() ||
        entry->second.connection->state() != TcpConnection::State::open) {
        ++stats_.frames_dropped;
        return absl::OkStatus();
    }
    TcpConnection& connection = *entry->second.connection;
    STARLING_RETURN_IF_ERROR(enqueue(*connection.queue(), std::move(frame), connection.remote()));
    send_on(connection);
    return absl::OkStatus();
}

absl::Status PosixTransport::Core::check_frame(const std::string& frame) const {
    STARLING_CHECK_MSG(loop_.is_open_to_caller(), "a frame sent from outside the transport's loop");
    if (is_stopped_) {
        return absl::UnavailableError("the transport has stopped");
    }
    if (frame.size() > options_.frame_bytes_max) {
        return absl::InvalidArgumentError(fmt::format(
            "a frame of {} bytes; the most is {}", frame.size(), options_.frame_bytes_max));
    }
    return absl::OkStatus();
}

absl::Status PosixTransport::Core::enqueue(SendQueue& queue,
                                           std::string frame,
                                           std::string_view to) {
    if (!queue.append(std::move(frame))) {
        ++stats_.frames_refused_queue_full;
        return absl::ResourceExhaustedError(
            fmt::format("the queue to {} is full: {} bytes, {} to all peers",
                        to,
                        queue.bytes(),
                        budget_->bytes));
    }
    ++stats_.frames_sent;
    return absl::OkStatus();
}

std::unique_ptr<SendQueue> PosixTransport::Core::make_queue() {
    return std::make_unique<SendQueue>(options_.peer_queue_bytes_max, budget_);
}

// One write per connection and turn: the flush runs behind all that is ready to run now. A
// connection that is writing takes what has gathered when it is done.
void PosixTransport::Core::send_on(TcpConnection& connection) {
    if (connection.is_writing() || connection.is_flush_pending()) {
        return;
    }
    connection.set_flush_pending();
    dirty_.push_back(connection.shared_from_this());
    if (dirty_.size() == 1) {
        boost::asio::post(loop_.io_context(), [core = shared_from_this()] { core->flush_all(); });
    }
}

void PosixTransport::Core::flush_all() {
    for (const std::shared_ptr<TcpConnection>& connection : std::exchange(dirty_, {})) {
        connection->flush();
    }
}

// --- Peers ---

absl::StatusOr<PosixTransport::Core::Peer*> PosixTransport::Core::find_or_add_peer(
    const Address& address) {
    const auto found = peers_.find(address);
    if (found != peers_.end()) {
        return &found->second;
    }
    STARLING_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, parse_address(address));
    if (peers_.size() >= options_.peers_max) {
        forget_idle_peers();
    }
    if (peers_.size() >= options_.peers_max) {
        return absl::ResourceExhaustedError(fmt::format("{} peers already", peers_.size()));
    }
    Peer peer{.endpoint = endpoint,
              .backoff = Backoff(options_.backoff_first, options_.backoff_max),
              .connection = nullptr,
              .opened_at = {},
              .retry = 0,
              .waiting = make_queue(),
              .error = absl::OkStatus()};
    return &peers_.emplace(address, std::move(peer)).first->second;
}

void PosixTransport::Core::forget_idle_peers() {
    std::erase_if(peers_, [](const auto& peer) { return peer.second.is_idle(); });
}

absl::Status PosixTransport::Core::peer_status(const Address& to) const {
    const auto peer = peers_.find(to);
    return peer == peers_.end() ? absl::OkStatus() : peer->second.error;
}

void PosixTransport::Core::dial(Peer& peer) {
    ++stats_.dials;
    peer.connection = make_connection(tcp::socket(loop_.io_context()), Handshake::Role::dialer);
    connections_.emplace(peer.connection->id(),
                         Entry{.connection = peer.connection, .peer = &peer});
    peer.connection->dial(peer.endpoint);
}

void PosixTransport::Core::on_retry(Peer& peer) {
    peer.retry = 0;
    if (!peer.waiting->empty()) {
        dial(peer);
    }
}

// A connection that breaks soon after it was opened counts as a dial that failed: otherwise a peer
// that accepts and hangs up would be dialled without pause.
void PosixTransport::Core::on_peer_lost(Peer& peer, bool was_open, const absl::Status& why) {
    peer.connection = nullptr;
    if (was_open && loop_.now() - peer.opened_at > options_.backoff_max) {
        peer.backoff.succeed();
        return;
    }
    if (!was_open) {
        ++stats_.dials_failed;
        stats_.frames_dropped += peer.waiting->clear();
        const bool is_final = why.code() == absl::StatusCode::kPermissionDenied ||
                              why.code() == absl::StatusCode::kFailedPrecondition;
        peer.error = is_final ? why : absl::UnavailableError(why.message());
    }
    peer.retry =
        loop_.schedule_after(peer.backoff.fail(random_), [this, &peer] { on_retry(peer); });
}

// --- Connections ---

std::shared_ptr<TcpConnection> PosixTransport::Core::make_connection(tcp::socket socket,
                                                                     Handshake::Role role) {
    return std::make_shared<TcpConnection>(
        loop_,
        std::move(socket),
        *this,
        TcpConnection::Options{.id = ++last_connection_,
                               .role = role,
                               .secret = options_.secret,
                               .frame_bytes_max = options_.frame_bytes_max,
                               .batch_bytes_max = options_.batch_bytes_max,
                               .handshake_timeout = options_.handshake_timeout,
                               .keepalive_interval = options_.keepalive_interval,
                               .idle_timeout = options_.idle_timeout});
}

void PosixTransport::Core::accept(tcp::socket socket) {
    if (incoming_ >= options_.incoming_max ||
        incoming_unproved_ >= options_.incoming_unproved_max) {
        ++stats_.connections_refused_limit;
        log("refused a connection: too many");
        return;
    }
    ++stats_.connections_accepted;
    ++incoming_;
    ++incoming_unproved_;
    const std::shared_ptr<TcpConnection> connection =
        make_connection(std::move(socket), Handshake::Role::acceptor);
    connections_.emplace(connection->id(), Entry{.connection = connection, .peer = nullptr});
    connection->start_accepted();
}

void PosixTransport::Core::on_open(TcpConnection& connection) {
    Peer* const peer = connections_.at(connection.id()).peer;
    if (peer == nullptr) {
        --incoming_unproved_;
        connection.set_queue(make_queue());
        return;
    }
    peer->error = absl::OkStatus();
    peer->opened_at = loop_.now();
    connection.set_queue(std::exchange(peer->waiting, make_queue()));
}

void PosixTransport::Core::on_frame(TcpConnection& connection, std::string_view frame) {
    ++stats_.frames_received;
    stats_.bytes_received += frame.size();
    if (handler_ != nullptr) {
        handler_({.connection = connection.id(), .remote = connection.remote(), .frame = frame});
    }
}

void PosixTransport::Core::on_closed(TcpConnection& connection, const absl::Status& why) {
    const bool was_open = connection.queue() != nullptr;
    if (was_open) {
        stats_.frames_dropped += connection.queue()->clear();
    }
    count_end(why);
    log(fmt::format("connection {} {}: {}",
                    connection.role() == Handshake::Role::dialer ? "to" : "from",
                    connection.remote(),
                    std::string(why.message())));
    const auto entry = connections_.find(connection.id());
    STARLING_CHECK(entry != connections_.end());
    Peer* const peer = entry->second.peer;
    connections_.erase(entry);
    if (peer != nullptr) {
        on_peer_lost(*peer, was_open, why);
        return;
    }
    --incoming_;
    incoming_unproved_ -= was_open ? 0 : 1;
}

void PosixTransport::Core::on_written(uint64_t bytes) {
    ++stats_.writes;
    stats_.bytes_written += bytes;
}

void PosixTransport::Core::count_end(const absl::Status& why) {
    switch (why.code()) {
        case absl::StatusCode::kPermissionDenied:
            ++stats_.wrong_secrets;
            break;
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kFailedPrecondition:
        case absl::StatusCode::kDataLoss:
            ++stats_.malformed;
            break;
        case absl::StatusCode::kDeadlineExceeded:
            ++stats_.timeouts;
            break;
        default:
            break;
    }
}

void PosixTransport::Core::schedule_tick() {
    tick_timer_ = loop_.schedule_after(tick_interval(options_), [this] { tick(); });
}

void PosixTransport::Core::tick() {
    const base::MonotonicTime now = loop_.now();
    std::vector<std::shared_ptr<TcpConnection>> all;
    all.reserve(connections_.size());
    for (const auto& [id, entry] : connections_) {
        all.push_back(entry.connection);
    }
    for (const std::shared_ptr<TcpConnection>& connection : all) {
        connection->tick(now);
    }
    schedule_tick();
}

PosixTransportStats PosixTransport::Core::stats() const {
    PosixTransportStats stats = stats_;
    stats.bytes_queued = budget_->bytes;
    stats.accept_errors = accept_errors_ + (listener_ ? listener_->errors() : 0);
    stats.connections_open = static_cast<uint64_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& entry) {
            return entry.second.connection->state() == TcpConnection::State::open;
        }));
    return stats;
}

void PosixTransport::Core::log(std::string_view line) {
    if (!options_.log) {
        return;
    }
    const base::MonotonicTime now = loop_.now();
    if (now < next_log_at_) {
        ++lines_suppressed_;
        return;
    }
    next_log_at_ = now + log_interval;
    const uint64_t suppressed = std::exchange(lines_suppressed_, 0);
    options_.log(suppressed == 0 ? std::string(line)
                                 : fmt::format("{} ({} more not shown)", line, suppressed));
}

}  // namespace starling::env
