// PosixTransport against peers that misbehave, spoken to byte by byte over real sockets.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio.hpp>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "env/posix/frame.h"
#include "env/posix/handshake.h"
#include "env/posix/random.h"
#include "env/posix/tcp_address.h"
#include "env/posix/transport.h"

namespace starling::env {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr std::string_view secret = "secret";

std::string encoded(std::string_view payload) {
    std::string out;
    append_frame_header(out, FrameKind::data, payload);
    out.append(payload);
    return out;
}

Challenge challenge_of(uint8_t byte) {
    Challenge challenge;
    challenge.fill(byte);
    return challenge;
}

// A blocking socket under the test's control.
class RawPeer {
  public:
    static RawPeer connect(const Address& to) {
        RawPeer peer;
        peer.socket_.connect(*parse_address(to));
        return peer;
    }
    // Not connected yet.
    static RawPeer open() {
        RawPeer peer;
        peer.socket_.open(tcp::v4());
        return peer;
    }
    void connect_to(const Address& to) { socket_.connect(*parse_address(to)); }
    static RawPeer accept_on(tcp::acceptor& acceptor) {
        RawPeer peer;
        acceptor.accept(peer.socket_);
        return peer;
    }

    void write(std::string_view bytes) {
        boost::system::error_code ignored;
        asio::write(socket_, asio::buffer(bytes.data(), bytes.size()), ignored);
    }
    // Fewer when the other end closes.
    std::string read(size_t count) {
        std::string bytes(count, '\0');
        boost::system::error_code ignored;
        bytes.resize(asio::read(socket_, asio::buffer(bytes), ignored));
        return bytes;
    }
    bool is_closed_by_peer() { return read(1).empty(); }
    void close() { socket_.close(); }

    // The dialer's part of the handshake; false when it is refused.
    bool prove(std::string_view with_secret = secret) {
        Handshake handshake(Handshake::Role::dialer, with_secret, challenge_of(7));
        write(handshake.hello());
        if (!handshake.take_hello(read(hello_bytes)).ok()) {
            return false;
        }
        write(handshake.proof());
        return handshake.check_answer(read(answer_bytes)).ok();
    }

    // The acceptor's part.
    bool let_prove() {
        Handshake handshake(Handshake::Role::acceptor, secret, challenge_of(8));
        if (!handshake.take_hello(read(hello_bytes)).ok()) {
            return false;
        }
        write(handshake.hello());
        if (!handshake.check_proof(read(proof_bytes)).ok()) {
            return false;
        }
        write(handshake.accept());
        return true;
    }

  private:
    RawPeer() : context_(std::make_unique<asio::io_context>()), socket_(*context_) {}

    std::unique_ptr<asio::io_context> context_;
    tcp::socket socket_;
};

class PosixTransportTest : public ::testing::Test {
  protected:
    void start(PosixTransport::Options options) {
        options.secret = secret;
        thread_ = std::thread([this] { loop_.run(); });
        run([&] {
            transport_ = std::make_unique<PosixTransport>(loop_, random_, std::move(options));
            transport_->set_handler([this](const Delivery& delivery) {
                {
                    const std::lock_guard<std::mutex> lock(mutex_);
                    received_.emplace_back(delivery.frame);
                    changed_.notify_all();
                }
                if (on_frame_) {
                    on_frame_(delivery);
                }
            });
            EXPECT_TRUE(transport_->start().ok());
        });
    }

    void TearDown() override {
        run([&] {
            transport_->stop();
            transport_.reset();
        });
        loop_.stop();
        thread_.join();
    }

    void run(const std::function<void()>& body) {
        std::unique_lock<std::mutex> lock(mutex_);
        bool done = false;
        loop_.post([&] {
            body();
            const std::lock_guard<std::mutex> inner(mutex_);
            done = true;
            changed_.notify_all();
        });
        changed_.wait(lock, [&] { return done; });
    }

    bool wait_for_frames(size_t count) {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_for(
            lock, std::chrono::seconds(30), [&] { return received_.size() >= count; });
    }

    std::vector<std::string> received() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return received_;
    }

    PosixTransportStats stats() {
        PosixTransportStats stats;
        run([&] { stats = transport_->stats(); });
        return stats;
    }

    // Turns of the loop go by until the condition holds.
    bool wait_until(const std::function<bool(const PosixTransportStats&)>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!condition(stats())) {
            if (std::chrono::steady_clock::now() > deadline) {
                return false;
            }
            std::this_thread::yield();
        }
        return true;
    }

    absl::Status send(const Address& to, std::string frame) {
        absl::Status status;
        run([&] { status = transport_->send(to, std::move(frame)); });
        return status;
    }

    Address address() const { return transport_->local_address(); }

    PosixLoop loop_;
    PosixRandom random_;
    std::thread thread_;
    std::unique_ptr<PosixTransport> transport_;
    std::function<void(const Delivery&)> on_frame_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> received_;
};

// A listener of the test's own, for the transport to dial.
class RawListener {
  public:
    RawListener() : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}
    Address address() const { return to_address(acceptor_.local_endpoint()); }
    RawPeer accept() { return RawPeer::accept_on(acceptor_); }

  private:
    asio::io_context context_;
    tcp::acceptor acceptor_;
};

TEST_F(PosixTransportTest, AProvenPeersFramesAreTaken) {
    start({});
    RawPeer peer = RawPeer::connect(address());
    ASSERT_TRUE(peer.prove());
    peer.write(encoded("one") + encoded("two"));
    ASSERT_TRUE(wait_for_frames(2));
    EXPECT_EQ(received(), (std::vector<std::string>{"one", "two"}));
}

TEST_F(PosixTransportTest, NoFramePassesBeforeTheProof) {
    start({});
    RawPeer peer = RawPeer::connect(address());
    Handshake handshake(Handshake::Role::dialer, secret, challenge_of(7));
    peer.write(handshake.hello() + encoded("smuggled in front of the proof, and long enough"));
    peer.read(hello_bytes);
    EXPECT_EQ(peer.read(answer_bytes), Handshake::refuse());
    EXPECT_TRUE(peer.is_closed_by_peer());
    EXPECT_TRUE(received().empty());
    EXPECT_EQ(stats().wrong_secrets, 1u);
}

TEST_F(PosixTransportTest, AWrongSecretIsToldToTheDialerAndCounted) {
    start({});
    RawPeer peer = RawPeer::connect(address());
    EXPECT_FALSE(peer.prove("guess"));
    EXPECT_TRUE(peer.is_closed_by_peer());
    EXPECT_TRUE(wait_until([](const auto& now) { return now.wrong_secrets == 1; }));
}

TEST_F(PosixTransportTest, ARecordedHandshakeCannotBeReplayed) {
    start({});
    Handshake handshake(Handshake::Role::dialer, secret, challenge_of(7));
    RawPeer first = RawPeer::connect(address());
    first.write(handshake.hello());
    ASSERT_TRUE(handshake.take_hello(first.read(hello_bytes)).ok());
    const std::string proof = handshake.proof();
    first.write(proof);
    ASSERT_TRUE(handshake.check_answer(first.read(answer_bytes)).ok());

    RawPeer replay = RawPeer::connect(address());
    replay.write(handshake.hello() + proof + encoded("evil"));
    replay.read(hello_bytes);
    EXPECT_EQ(replay.read(answer_bytes), Handshake::refuse());
    EXPECT_TRUE(received().empty());
}

TEST_F(PosixTransportTest, WhateverIsNoHandshakeIsClosedAndTheNodeStaysUp) {
    start({});
    RawPeer http = RawPeer::connect(address());
    http.write("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    EXPECT_TRUE(http.is_closed_by_peer());
    EXPECT_TRUE(wait_until([](const auto& now) { return now.malformed == 1; }));
    RawPeer peer = RawPeer::connect(address());
    EXPECT_TRUE(peer.prove());
}

TEST_F(PosixTransportTest, MalformedFramesCloseTheirConnectionAreCountedAndTheNodeStaysUp) {
    start({.frame_bytes_max = 1000});
    std::string damaged = encoded("payload");
    damaged.back() ^= 1;
    const std::string too_long = encoded(std::string(1001, 'x'));
    const std::string no_kind(100, '\xff');
    uint64_t expected = 0;
    for (const std::string& bytes : {damaged, too_long, no_kind}) {
        RawPeer peer = RawPeer::connect(address());
        ASSERT_TRUE(peer.prove());
        peer.write(encoded("good") + bytes + encoded("never seen"));
        EXPECT_TRUE(peer.is_closed_by_peer());
        ++expected;
        EXPECT_TRUE(wait_until([&](const auto& now) { return now.malformed == expected; }));
    }
    EXPECT_EQ(received(), (std::vector<std::string>{"good", "good", "good"}));
    EXPECT_EQ(stats().connections_open, 0u);
}

TEST_F(PosixTransportTest, ASilentConnectionIsClosedWhenItsHandshakeTakesTooLong) {
    start({.handshake_timeout = milliseconds(50)});
    RawPeer silent = RawPeer::connect(address());
    EXPECT_TRUE(silent.is_closed_by_peer());
    RawPeer half = RawPeer::connect(address());
    half.write("starl");
    EXPECT_TRUE(half.is_closed_by_peer());
    EXPECT_EQ(stats().timeouts, 2u);
}

TEST_F(PosixTransportTest, UnprovedConnectionsBeyondTheLimitAreClosedAtOnceAndProvedOnesStay) {
    start({.incoming_unproved_max = 2, .handshake_timeout = std::chrono::seconds(20)});
    RawPeer friendly = RawPeer::connect(address());
    ASSERT_TRUE(friendly.prove());
    RawPeer one = RawPeer::connect(address());
    RawPeer two = RawPeer::connect(address());
    ASSERT_TRUE(wait_until([](const auto& now) { return now.connections_accepted == 3; }));
    RawPeer three = RawPeer::connect(address());
    EXPECT_TRUE(three.is_closed_by_peer());
    EXPECT_EQ(stats().connections_refused_limit, 1u);
    friendly.write(encoded("still here"));
    EXPECT_TRUE(wait_for_frames(1));
    one.close();
    EXPECT_TRUE(wait_until([&](const auto&) { return RawPeer::connect(address()).prove(); }));
}

TEST_F(PosixTransportTest, TheNumberOfIncomingConnectionsIsLimited) {
    start({.incoming_max = 2});
    RawPeer one = RawPeer::connect(address());
    RawPeer two = RawPeer::connect(address());
    ASSERT_TRUE(one.prove());
    ASSERT_TRUE(two.prove());
    RawPeer three = RawPeer::connect(address());
    EXPECT_FALSE(three.prove());
    one.close();
    EXPECT_TRUE(wait_until([&](const auto&) { return RawPeer::connect(address()).prove(); }));
}

TEST_F(PosixTransportTest, HundredsOfConnectionsThatComeAndGoLeaveNothingBehind) {
    start({});
    for (int i = 0; i < 400; ++i) {
        RawPeer peer = RawPeer::connect(address());
        if (i % 2 == 0) {
            ASSERT_TRUE(peer.prove());
        }
    }
    RawPeer peer = RawPeer::connect(address());
    ASSERT_TRUE(peer.prove());
    EXPECT_TRUE(wait_until([](const auto& now) { return now.connections_open == 1; }));
}

// Lets the process open no further file while it lives.
class NoMoreFiles {
  public:
    NoMoreFiles() {
        getrlimit(RLIMIT_NOFILE, &before_);
        const int lowest_free = dup(STDERR_FILENO);
        close(lowest_free);
        rlimit limit = before_;
        limit.rlim_cur = static_cast<rlim_t>(lowest_free);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    ~NoMoreFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

  private:
    rlimit before_{};
};

TEST_F(PosixTransportTest, RunningOutOfFileDescriptorsIsWaitedOut) {
    start({});
    RawPeer peer = RawPeer::open();
    {
        const NoMoreFiles no_more_files;
        peer.connect_to(address());
        EXPECT_TRUE(wait_until([](const auto& now) { return now.accept_errors >= 2; }));
        EXPECT_EQ(stats().connections_accepted, 0u);
    }
    EXPECT_TRUE(peer.prove());
}

TEST_F(PosixTransportTest, APeerThatFallsSilentIsGivenUpAndDialledAgain) {
    start({.keepalive_interval = milliseconds(20), .idle_timeout = milliseconds(100)});
    RawListener listener;
    ASSERT_TRUE(send(listener.address(), "first").ok());
    RawPeer silent = listener.accept();
    ASSERT_TRUE(silent.let_prove());
    // The frame and then keepalives come, nothing goes back.
    EXPECT_EQ(silent.read(encoded("first").size()), encoded("first"));
    while (!silent.read(1).empty()) {
    }
    EXPECT_EQ(stats().timeouts, 1u);
    ASSERT_TRUE(send(listener.address(), "again").ok());
    RawPeer second = listener.accept();
    ASSERT_TRUE(second.let_prove());
    EXPECT_EQ(second.read(encoded("again").size()), encoded("again"));
}

TEST_F(PosixTransportTest, KeepalivesKeepAQuietConnectionOpen) {
    start({.keepalive_interval = milliseconds(20), .idle_timeout = milliseconds(150)});
    RawListener listener;
    ASSERT_TRUE(send(listener.address(), "").ok());
    RawPeer peer = listener.accept();
    ASSERT_TRUE(peer.let_prove());
    peer.read(frame_header_bytes);
    std::string keepalive;
    append_frame_header(keepalive, FrameKind::keepalive, {});
    // Each of ours answers one of theirs, for longer than the idle timeout.
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(peer.read(frame_header_bytes), keepalive);
        peer.write(keepalive);
    }
    EXPECT_EQ(stats().timeouts, 0u);
    EXPECT_EQ(stats().frames_received, 0u);
}

TEST_F(PosixTransportTest, APeerThatDoesNotReadFillsItsQueueAndNoMore) {
    start({.peer_queue_bytes_max = 1u << 20});
    RawListener listener;
    ASSERT_TRUE(send(listener.address(), "first").ok());
    RawPeer peer = listener.accept();
    ASSERT_TRUE(peer.let_prove());
    absl::Status status;
    int sent = 0;
    while (status.ok() && sent < 10'000) {
        status = send(listener.address(), std::string(10'000, 'x'));
        ++sent;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_LE(stats().bytes_queued, 1u << 20);
    EXPECT_EQ(stats().frames_refused_queue_full, 1u);
    peer.close();
    EXPECT_TRUE(wait_until([](const auto& now) { return now.bytes_queued == 0; }));
    EXPECT_GT(stats().frames_dropped, 0u);
}

TEST_F(PosixTransportTest, TheQueuesOfAllPeersTogetherAreLimited) {
    start({.total_queue_bytes_max = 100'000});
    RawListener first;
    RawListener second;
    EXPECT_TRUE(send(first.address(), std::string(60'000, 'x')).ok());
    EXPECT_EQ(send(second.address(), std::string(60'000, 'x')).code(),
              absl::StatusCode::kResourceExhausted);
}

TEST_F(PosixTransportTest, FramesOfOneTurnOfTheLoopLeaveInOneWrite) {
    start({});
    RawListener listener;
    ASSERT_TRUE(send(listener.address(), "first").ok());
    RawPeer peer = listener.accept();
    ASSERT_TRUE(peer.let_prove());
    peer.read(encoded("first").size());
    ASSERT_TRUE(wait_until([](const auto& now) { return now.writes == 1; }));
    run([&] {
        for (int i = 0; i < 500; ++i) {
            EXPECT_TRUE(transport_->send(listener.address(), std::string(100, 'x')).ok());
        }
    });
    peer.read(500 * (100 + frame_header_bytes));
    EXPECT_TRUE(wait_until([](const auto& now) { return now.writes == 2; }));
    EXPECT_EQ(stats().bytes_queued, 0u);
}

TEST_F(PosixTransportTest, WhatIsQueuedWhileADialFailsIsDroppedAndTheNextFrameArrivesLater) {
    start({.backoff_first = milliseconds(1), .backoff_max = milliseconds(5)});
    Address nobody;
    {
        const RawListener listener;
        nobody = listener.address();
    }
    ASSERT_TRUE(send(nobody, "lost").ok());
    EXPECT_TRUE(wait_until([](const auto& now) { return now.frames_dropped == 1; }));
    absl::Status status;
    run([&] { status = transport_->peer_status(nobody); });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(stats().bytes_queued, 0u);
    EXPECT_EQ(stats().dials_failed, 1u);
}

TEST_F(PosixTransportTest, StoppingInsideTheHandlerEndsEverything) {
    start({});
    on_frame_ = [this](const Delivery&) { transport_->stop(); };
    RawPeer peer = RawPeer::connect(address());
    ASSERT_TRUE(peer.prove());
    peer.write(encoded("one") + encoded("two"));
    EXPECT_TRUE(peer.is_closed_by_peer());
    EXPECT_EQ(received(), std::vector<std::string>{"one"});
    EXPECT_EQ(send(address(), "late").code(), absl::StatusCode::kUnavailable);
}

TEST_F(PosixTransportTest, ATakenAddressIsReported) {
    start({});
    run([&] {
        PosixTransport second(loop_, random_, {.listen = address()});
        EXPECT_EQ(second.start().code(), absl::StatusCode::kUnavailable);
        PosixTransport third(loop_, random_, {.listen = "somewhere:1"});
        EXPECT_EQ(third.start().code(), absl::StatusCode::kInvalidArgument);
    });
}

TEST_F(PosixTransportTest, TheAdvertisedAddressGetsTheRealPort) {
    start({.listen = "127.0.0.1:0", .advertise = "10.1.2.3:0"});
    EXPECT_EQ(address().substr(0, 9), "10.1.2.3:");
    EXPECT_NE(address(), "10.1.2.3:0");
}

TEST(TcpAddressTest, LiteralsOfBothFamiliesAreUnderstoodAndNothingElse) {
    for (const char* good : {"127.0.0.1:1", "[::1]:65535", "0.0.0.0:0"}) {
        const auto parsed = parse_address(good);
        ASSERT_TRUE(parsed.ok()) << good;
        EXPECT_EQ(to_address(*parsed), good);
    }
    for (const char* bad : {"::1:5",
                            "[127.0.0.1]:5",
                            "127.0.0.1:65536",
                            "127.0.0.1:-1",
                            "[]:1",
                            "127.0.0.1:1 ",
                            "localhost:1",
                            "[::1]",
                            "1:2:3"}) {
        EXPECT_FALSE(parse_address(bad).ok()) << bad;
    }
}

}  // namespace
}  // namespace starling::env
