// starlingd as a process: its data directory, its signals, and its peer port before strangers.

#include <csignal>
#include <random>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "env/posix/frame.h"
#include "env/posix/handshake.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr const char* few_partitions = "partition_count = 32\n";

class Connection {
  public:
    explicit Connection(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    }
    ~Connection() { ::close(socket_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // All of `bytes`, or what is taken of them.
    void send(const std::string& bytes) {
        size_t sent = 0;
        while (sent < bytes.size()) {
            const ssize_t n = ::send(socket_, &bytes[sent], bytes.size() - sent, MSG_NOSIGNAL);
            if (n <= 0) {
                return;
            }
            sent += static_cast<size_t>(n);
        }
    }
    // So many bytes, or fewer when the other side closes.
    std::string receive(size_t count) {
        std::string bytes(count, '\0');
        const ssize_t n = ::recv(socket_, bytes.data(), count, MSG_WAITALL);
        bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
        return bytes;
    }

  private:
    const int socket_;
};

void send_raw(uint16_t port, const std::string& bytes) {
    Connection(port).send(bytes);
}

// Behind a handshake with the right secret.
void send_admitted(uint16_t port, const std::string& bytes) {
    Connection connection(port);
    env::Challenge challenge;
    env::fill_random(challenge.data(), challenge.size());
    env::Handshake handshake(env::Handshake::Role::dialer, cluster_secret, challenge);
    connection.send(handshake.hello());
    ASSERT_TRUE(handshake.take_hello(connection.receive(env::hello_bytes)).ok());
    connection.send(handshake.proof());
    ASSERT_TRUE(handshake.check_answer(connection.receive(env::answer_bytes)).ok());
    connection.send(bytes);
}

std::string random_bytes(std::mt19937& random, size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random());
    }
    return bytes;
}

// A dialer's hello as docs/formats/frame.md has it.
std::string hello() {
    return "starling" + std::string("\1\1\0\0", 4) + std::string(32, 'c');
}

TEST(ProcessTest, ASecondProcessOnOneDataDirectoryIsRefused) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    const std::string log = cluster.folder() + "/second_log";
    Process second({starlingd_path(),
                    "--config-path",
                    node.config_path(),
                    "--addr",
                    "127.0.0.1:0",
                    "--peer-addr",
                    "127.0.0.1:0"},
                   log);
    EXPECT_EQ(second.wait(Seconds(20)), 1);
    EXPECT_THAT(read_text(log), HasSubstr("cannot start"));
    EXPECT_THAT(read_text(log), HasSubstr(node.folder() + "/data"));
    EXPECT_THAT(read_text(log), AnyOf(HasSubstr("another process"), HasSubstr("locked")));
    EXPECT_TRUE(node.is_running());
    Connected<client::Client> client(cluster.options());
    EXPECT_TRUE(client->put("k", "v").ok());
}

TEST(ProcessTest, AnAddressInUseIsRefused) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    const std::string log = cluster.folder() + "/second_log";
    Process second({starlingd_path(),
                    "--config-path",
                    node.config_path(),
                    "--data-dir",
                    cluster.folder() + "/elsewhere"},
                   log);
    EXPECT_EQ(second.wait(Seconds(20)), 1);
    EXPECT_THAT(read_text(log),
                AnyOf(HasSubstr(node.client_address()), HasSubstr(node.peer_address())));
    EXPECT_TRUE(node.is_running());
}

TEST(ProcessTest, AfterAnOrderlyStopTheDataIsThereAgain) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(client->put(fmt::format("key {}", i), fmt::format("value {}", i)).ok());
    }
    ASSERT_TRUE(client->del("key 7").ok());
    EXPECT_EQ(node.terminate(), 0);
    node.start();
    ASSERT_TRUE(node.wait_ready());
    for (int i = 0; i < 100; ++i) {
        const auto read = client->get(fmt::format("key {}", i));
        ASSERT_TRUE(read.ok()) << read.status();
        ASSERT_EQ(read->values_size(), i == 7 ? 0 : 1) << i;
        if (i != 7) {
            EXPECT_EQ(read->values(0).value(), fmt::format("value {}", i));
        }
    }
}

TEST(ProcessTest, SigtermEndsTheProcessInOrderAndRemovesItsAddresses) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    EXPECT_EQ(node.terminate(), 0);
    EXPECT_FALSE(std::filesystem::exists(node.folder() + "/data/addresses.json"));
    node.start();
    ASSERT_TRUE(node.wait_ready());
    EXPECT_EQ(node.terminate(), 0);
}

TEST(ProcessTest, NonsenseOnThePeerPortChangesNothing) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    TestNode& node = cluster.node(0);
    std::mt19937 random(7);
    for (int round = 0; round < 30; ++round) {
        ASSERT_NO_FATAL_FAILURE(
            send_raw(node.peer_port(), random_bytes(random, 1 + random() % 5000)));
        // A hello that breaks off, one without a proof, and one with a wrong proof.
        ASSERT_NO_FATAL_FAILURE(send_raw(node.peer_port(), hello().substr(0, random() % 44)));
        ASSERT_NO_FATAL_FAILURE(send_raw(node.peer_port(), hello()));
        ASSERT_NO_FATAL_FAILURE(
            send_raw(node.peer_port(), hello() + random_bytes(random, 32 + random() % 500)));
        // A frame of a huge length where the proof belongs.
        ASSERT_NO_FATAL_FAILURE(send_raw(node.peer_port(), hello() + std::string(64, '\xff')));
    }
    ASSERT_NO_FATAL_FAILURE(send_raw(node.peer_port(), std::string(8u << 20, '\xff')));
    EXPECT_TRUE(node.is_running());
    EXPECT_TRUE(cluster.node(1).is_running());
    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < 20; ++i) {
        const auto written = client->put(fmt::format("key {}", i), "v");
        EXPECT_TRUE(written.ok()) << written.status();
    }
    EXPECT_TRUE(cluster.wait_at_rest(Seconds(30))) << cluster.describe();
}

// Past the handshake, with the cluster's secret.
TEST(ProcessTest, NonsenseFromAProvenPeerChangesNothing) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    std::mt19937 random(9);
    const auto frame = [](const std::string& payload) {
        std::string bytes;
        env::append_frame_header(bytes, env::FrameKind::data, payload);
        return bytes + payload;
    };
    for (int round = 0; round < 20; ++round) {
        const std::string whole = frame(random_bytes(random, 1 + random() % 300));
        const std::string huge = std::string("\1\xff\xff\xff\xff", 5) + random_bytes(random, 99);
        const std::vector<std::string> kinds = {
            whole, whole.substr(0, whole.size() - 1), huge, random_bytes(random, 500)};
        for (const std::string& bytes : kinds) {
            ASSERT_NO_FATAL_FAILURE(send_admitted(node.peer_port(), bytes));
        }
    }
    EXPECT_TRUE(node.is_running());
    Connected<client::Client> client(cluster.options());
    EXPECT_TRUE(client->put("k", "v").ok());
}

TEST(ProcessTest, NonsenseOnTheClientPortChangesNothing) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    const auto port = static_cast<uint16_t>(
        std::stoi(node.client_address().substr(std::string("127.0.0.1:").size())));
    std::mt19937 random(8);
    for (int round = 0; round < 30; ++round) {
        ASSERT_NO_FATAL_FAILURE(send_raw(port, random_bytes(random, 1 + random() % 5000)));
        ASSERT_NO_FATAL_FAILURE(
            send_raw(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random_bytes(random, 300)));
    }
    EXPECT_TRUE(node.is_running());
    Connected<client::Client> client(cluster.options());
    EXPECT_TRUE(client->put("k", "v").ok());
}

}  // namespace
}  // namespace starling::cluster_test
