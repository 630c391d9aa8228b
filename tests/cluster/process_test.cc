// starlingd as a process: its data directory, its signals, and its peer port before strangers.

#include <atomic>
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "env/posix/frame.h"
#include "env/posix/handshake.h"
#include "starling/peer/envelope.pb.h"
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

uint16_t client_port(const TestNode& node) {
    return static_cast<uint16_t>(
        std::stoi(node.client_address().substr(std::string("127.0.0.1:").size())));
}

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

// What a node stores under a key, and starts of the same node with other keys.
class EncryptedNodeTest : public testing::Test {
  protected:
    static constexpr const char* canary = "canary-in-the-coal-mine";
    static constexpr int keys = 50;

    EncryptedNodeTest() {
        for (const char* name : {"key", "wrong_key"}) {
            std::ofstream(path_of(name)) << key(name) << '\n';
            std::filesystem::permissions(path_of(name), std::filesystem::perms(0600));
        }
    }

    std::string path_of(const std::string& name) { return cluster.folder() + "/" + name; }
    static std::string key(const std::string& name) {
        return std::string(60, name == "key" ? 'a' : 'b') + "0123";
    }
    TestNode& node_with(const std::string& more) {
        TestNode& node = cluster.prepare_node("", few_partitions + more);
        node.start();
        EXPECT_TRUE(node.wait_ready()) << read_text(node.folder() + "/log");
        return node;
    }
    void write_all() {
        Connected<client::Client> client(cluster.options());
        for (int i = 0; i < keys; ++i) {
            ASSERT_TRUE(
                client->put(fmt::format("key {}", i), fmt::format("{} {}", canary, i)).ok());
        }
    }
    void expect_all() {
        Connected<client::Client> client(cluster.options());
        for (int i = 0; i < keys; ++i) {
            const auto read = client->get(fmt::format("key {}", i));
            ASSERT_TRUE(read.ok()) << read.status();
            ASSERT_EQ(read->values_size(), 1) << i;
            EXPECT_EQ(read->values(0).value(), fmt::format("{} {}", canary, i));
        }
    }
    // All files below the node's data directory.
    static std::map<std::string, std::string> files_of(const TestNode& node) {
        std::map<std::string, std::string> files;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(node.folder() + "/data")) {
            if (entry.is_regular_file()) {
                files[entry.path()] = read_text(entry.path());
            }
        }
        return files;
    }
    // Of files that hold the canary in plain text.
    static size_t count_readable(const TestNode& node) {
        size_t count = 0;
        for (const auto& [path, content] : files_of(node)) {
            count += content.find(canary) == std::string::npos ? 0u : 1u;
        }
        return count;
    }
    // Starts the node otherwise than its configuration says, and expects it to refuse without a
    // change to its data. Returns what it logged.
    std::string refusal(const TestNode& node,
                        const std::string& without_line,
                        const std::vector<std::string>& options) {
        std::string config = read_text(node.config_path());
        if (const size_t at = config.find(without_line); at != std::string::npos) {
            config.erase(at, without_line.size());
        }
        std::ofstream(path_of("other.toml")) << config;
        std::vector<std::string> command = {
            starlingd_path(), "--config-path", path_of("other.toml")};
        command.insert(command.end(), options.begin(), options.end());
        const auto before = files_of(node);
        const std::string log = path_of(fmt::format("refusal_{}", refusals++));
        Process process(command, log);
        EXPECT_EQ(process.wait(Seconds(20)), 1) << read_text(log);
        EXPECT_EQ(files_of(node), before);
        return read_text(log);
    }

    TestCluster cluster{few_partitions};
    int refusals = 0;
};

TEST_F(EncryptedNodeTest, KeepsNoPlainTextStartsAgainWithItsKeyAndRefusesWithoutIt) {
    const std::string line = fmt::format("encryption_key_file = \"{}\"\n", path_of("key"));
    TestNode& node = node_with(line);
    ASSERT_NO_FATAL_FAILURE(write_all());
    node.kill();
    EXPECT_EQ(count_readable(node), 0u);
    node.start();
    ASSERT_TRUE(node.wait_ready());
    ASSERT_NO_FATAL_FAILURE(expect_all());
    EXPECT_EQ(node.terminate(), 0);
    EXPECT_EQ(count_readable(node), 0u);
    const std::string marker = node.folder() + "/data/shard-0/ENGINE: ";
    EXPECT_THAT(refusal(node, line, {}), HasSubstr(marker + "is encrypted"));
    EXPECT_THAT(refusal(node, line, {"--encryption-key-file", path_of("wrong_key")}),
                HasSubstr(marker + "encrypted under master key"));
    EXPECT_THAT(refusal(node, line, {"--encryption-key-file", path_of("no_key")}),
                HasSubstr(path_of("no_key")));
    node.start();
    ASSERT_TRUE(node.wait_ready());
    ASSERT_NO_FATAL_FAILURE(expect_all());
}

TEST_F(EncryptedNodeTest, TakesTheKeyFromTheEnvironment) {
    TestNode& node = node_with(fmt::format("encryption_key_file = \"{}\"\n", path_of("key")));
    ASSERT_NO_FATAL_FAILURE(write_all());
    EXPECT_EQ(node.terminate(), 0);
    std::string config = read_text(node.config_path());
    config.erase(config.find("encryption_key_file"));
    std::ofstream(path_of("other.toml")) << config;
    Process again({"/usr/bin/env",
                   "STARLING_ENCRYPTION_KEY=" + key("key"),
                   starlingd_path(),
                   "--config-path",
                   path_of("other.toml")},
                  path_of("again_log"));
    EXPECT_TRUE(wait_until(Seconds(30), [&] {
        const auto answer = node.admin()->ping();
        return answer.ok() && answer->is_ready();
    })) << read_text(path_of("again_log"));
    ASSERT_NO_FATAL_FAILURE(expect_all());
    EXPECT_THAT(read_text(path_of("again_log")), testing::Not(HasSubstr(key("key"))));
}

TEST_F(EncryptedNodeTest, RefusesAKeyForDataThatIsNotEncrypted) {
    TestNode& node = node_with("");
    ASSERT_NO_FATAL_FAILURE(write_all());
    EXPECT_EQ(node.terminate(), 0);
    EXPECT_GT(count_readable(node), 0u);
    EXPECT_THAT(refusal(node, "", {"--encryption-key-file", path_of("key")}),
                HasSubstr(node.folder() + "/data/shard-0/ENGINE: is not encrypted"));
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

class LivesTest : public ::testing::Test {
  protected:
    // How often the log has this, from all lives.
    size_t count(std::string_view text) const {
        const std::string log = read_text(node.folder() + "/log");
        size_t found = 0;
        for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) {
            ++found;
        }
        return found;
    }
    void expect_stored() {
        const auto read = client->get("key");
        ASSERT_TRUE(read.ok()) << read.status();
        ASSERT_EQ(read->values_size(), 1);
        EXPECT_EQ(read->values(0).value(), "value");
    }

    TestCluster cluster{few_partitions};
    TestNode& node = cluster.add_node();
    Connected<client::Client> client{cluster.options()};
};

TEST_F(LivesTest, ASecondLifeOfTheNodeInOneProcessHasTheDataAndTheAddresses) {
    ASSERT_TRUE(client->put("key", "value").ok());
    for (const size_t life : {size_t{2}, size_t{3}}) {
        node.process().send_signal(SIGUSR1);
        ASSERT_TRUE(wait_until(Seconds(30), [&] { return count(" serves: ") == life; }));
        ASSERT_NO_FATAL_FAILURE(expect_stored());
        EXPECT_TRUE(client->put("another key", "value").ok());
    }
    EXPECT_EQ(node.terminate(), 0);
    EXPECT_FALSE(std::filesystem::exists(node.folder() + "/data/addresses.json"));
}

// Also: what was stored when the former life could not end in order.
TEST_F(LivesTest, ASecondLifeThatCannotStartIsTriedAgain) {
    ASSERT_TRUE(client->put("key", "value").ok());
    const std::string data = node.folder() + "/data";
    std::filesystem::rename(data, data + ".away");
    {
        std::ofstream in_its_place(data);
    }
    node.process().send_signal(SIGUSR1);
    ASSERT_TRUE(wait_until(Seconds(30), [&] { return count("cannot start: ") > 0; }));
    EXPECT_TRUE(node.is_running());
    std::filesystem::remove(data);
    std::filesystem::rename(data + ".away", data);
    ASSERT_TRUE(wait_until(Seconds(30), [&] { return count(" serves: ") == 2; }));
    ASSERT_NO_FATAL_FAILURE(expect_stored());
    EXPECT_EQ(node.terminate(), 0);
}

TEST_F(LivesTest, ASignalEndsAProcessThatWaitsForItsNextStart) {
    const std::string data = node.folder() + "/data";
    std::filesystem::rename(data, data + ".away");
    {
        std::ofstream in_its_place(data);
    }
    node.process().send_signal(SIGUSR1);
    ASSERT_TRUE(wait_until(Seconds(30), [&] { return count("cannot start: ") > 0; }));
    node.process().send_signal(SIGTERM);
    EXPECT_EQ(node.process().wait(Seconds(3)), 1);
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

// Right in form, of the right cluster, from a node that nobody knows, about what makes no sense.
TEST(ProcessTest, WellFormedNonsenseFromAProvenPeerChangesNothing) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(client->put(fmt::format("key {}", i), "value").ok());
    }
    const auto before = node.admin()->status();
    ASSERT_TRUE(before.ok());
    std::string frames;
    const auto add = [&frames](const peer::Envelope& envelope) {
        const std::string payload = envelope.SerializeAsString();
        env::append_frame_header(frames, env::FrameKind::data, payload);
        frames += payload;
    };
    for (const uint32_t partition : {0u, 31u, 32u, 65535u, UINT32_MAX}) {
        for (const uint32_t replicas : {0u, 1u, 3u, 4u, 200u, UINT32_MAX}) {
            peer::Envelope envelope;
            envelope.set_cluster(before->cluster_id());
            envelope.set_from(4711);
            envelope.set_to(before->node_id());
            peer::ReplicaMessage& replica = *envelope.mutable_replica();
            replica.set_partition(partition);
            replica.set_replicas(replicas);
            add(envelope);
            replica.mutable_read();
            add(envelope);
            replica.mutable_write();
            add(envelope);
            replica.mutable_hint();
            add(envelope);
            envelope.mutable_handover()->set_partition(partition);
            add(envelope);
            envelope.mutable_entropy()->set_partition(partition);
            add(envelope);
            envelope.mutable_gossip();
            add(envelope);
            envelope.mutable_gossip()->mutable_delta();
            add(envelope);
            envelope.mutable_gossip()->mutable_join_request();
            add(envelope);
            envelope.set_cluster(before->cluster_id() + 1);
            add(envelope);
        }
    }
    ASSERT_NO_FATAL_FAILURE(send_admitted(node.peer_port(), frames));
    EXPECT_TRUE(node.is_running());
    for (int i = 0; i < 50; ++i) {
        const auto read = client->get(fmt::format("key {}", i));
        ASSERT_TRUE(read.ok()) << read.status();
        ASSERT_EQ(read->values_size(), 1);
        EXPECT_EQ(read->values(0).value(), "value");
    }
    const auto after = node.admin()->status();
    ASSERT_TRUE(after.ok());
    EXPECT_EQ(after->records(), before->records());
    EXPECT_EQ(after->members_size(), 1);
    EXPECT_TRUE(client->put("k", "v").ok());
}

TEST(ProcessTest, FourHundredConnectionsUnderFewDescriptorsLeaveTheNodeAnswering) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.prepare_node();
    node.start_with_descriptors(256);
    ASSERT_TRUE(node.wait_ready()) << read_text(node.folder() + "/log");
    EXPECT_THAT(read_text(node.folder() + "/log"), HasSubstr("few file descriptors"));
    const auto expect_answering = [&cluster, &node] {
        // Each time over connections of its own.
        Connected<client::Client> client(cluster.options());
        const auto written = client->put("k", "v");
        ASSERT_TRUE(written.ok()) << written.status() << read_text(node.folder() + "/log");
        ASSERT_EQ(client->get("k")->values_size(), 1);
    };
    ASSERT_NO_FATAL_FAILURE(expect_answering());
    for (const uint16_t port : {client_port(node), node.peer_port()}) {
        for (int i = 0; i < 400; ++i) {
            Connection opened_and_closed(port);
        }
        ASSERT_NO_FATAL_FAILURE(expect_answering());
        {
            std::deque<Connection> held;
            for (int i = 0; i < 400; ++i) {
                held.emplace_back(port);
            }
        }
        ASSERT_NO_FATAL_FAILURE(expect_answering());
    }
    EXPECT_TRUE(node.is_running());
    EXPECT_EQ(node.terminate(), 0);
}

TEST(ProcessTest, SigtermUnderLoadKeepsAllThatWasAcknowledged) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    std::atomic<bool> is_over = false;
    std::vector<std::vector<std::string>> acknowledged(4);
    std::vector<std::thread> writers;
    for (size_t w = 0; w < acknowledged.size(); ++w) {
        writers.emplace_back([&, w] {
            Connected<client::Client> client({.endpoints = {node.client_address()},
                                              .deadline = Seconds(2),
                                              .retry = {.tries_max = 1}});
            for (int i = 0; !is_over; ++i) {
                const std::string key = fmt::format("{}/{}", w, i);
                if (client->put(key, key).ok()) {
                    acknowledged[w].push_back(key);
                }
            }
        });
    }
    std::this_thread::sleep_for(Seconds(1));
    EXPECT_EQ(node.terminate(), 0);
    is_over = true;
    for (std::thread& writer : writers) {
        writer.join();
    }
    node.start();
    ASSERT_TRUE(node.wait_ready());
    Connected<client::Client> client(cluster.options());
    for (const auto& keys : acknowledged) {
        EXPECT_GT(keys.size(), 10u);
        for (const std::string& key : keys) {
            const auto read = client->get(key);
            ASSERT_TRUE(read.ok()) << read.status();
            ASSERT_EQ(read->values_size(), 1) << key;
            EXPECT_EQ(read->values(0).value(), key);
        }
    }
}

class StopTest : public ::testing::Test {
  protected:
    // A put through node 0 whose quorum is gone, with a deadline far away.
    void begin_what_cannot_finish() {
        ASSERT_NO_FATAL_FAILURE(cluster.form(3));
        cluster.node(1).kill();
        cluster.node(2).kill();
        client.emplace(
            client::ClientOptions{.endpoints = {cluster.node(0).client_address()},
                                  .deadline = Seconds(30),
                                  .retry = {.tries_max = 1, .try_timeout = Seconds(30)}});
        (*client)->put("k", "v", {.request = {.quorum = 3, .sloppy = false}}, [](const auto&) {});
        Connected<client::Client> other({.endpoints = {cluster.node(0).client_address()}});
        // Behind it, on the same door.
        ASSERT_TRUE(other->get("k", {.quorum = 1}).ok());
    }

    TestCluster cluster{few_partitions};
    std::optional<Connected<client::Client>> client;
};

TEST_F(StopTest, SigtermEndsTheProcessInTimeAlthoughARequestCannotFinish) {
    ASSERT_NO_FATAL_FAILURE(begin_what_cannot_finish());
    cluster.node(0).process().send_signal(SIGTERM);
    // stop_timeout is 10 s; beyond it the code is 2.
    EXPECT_EQ(cluster.node(0).process().wait(Seconds(12)), 0)
        << read_text(cluster.node(0).folder() + "/log");
}

TEST_F(StopTest, AStoppingNodeRefusesNewRequestsAndASecondSignalEndsItAtOnce) {
    ASSERT_NO_FATAL_FAILURE(begin_what_cannot_finish());
    TestNode& node = cluster.node(0);
    node.process().send_signal(SIGTERM);
    Connected<client::Client> other(
        {.endpoints = {node.client_address()}, .deadline = Seconds(1), .retry = {.tries_max = 1}});
    EXPECT_TRUE(wait_until(Seconds(3), [&] { return !other->get("k", {.quorum = 1}).ok(); }));
    EXPECT_TRUE(node.is_running());
    node.process().send_signal(SIGTERM);
    EXPECT_EQ(node.process().wait(Seconds(2)), 128 + SIGTERM);
}

// A small file system of its own; only root may make one.
class SmallDisk {
  public:
    SmallDisk(const std::string& path, const std::string& size) : path_(path) {
        std::filesystem::create_directories(path_);
        is_mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
    }
    ~SmallDisk() {
        if (is_mounted_) {
            ::umount2(path_.c_str(), MNT_DETACH);
        }
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    bool is_mounted() const { return is_mounted_; }
    void resize(const std::string& size) const {
        EXPECT_EQ(::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()),
                  0);
    }

  private:
    const std::string path_;
    bool is_mounted_ = false;
};

TEST(ProcessTest, AFullDiskRefusesWritesByNameServesReadsAndHealsWhenThereIsSpace) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.prepare_node();
    const SmallDisk disk(node.folder() + "/data", "24m");
    if (!disk.is_mounted()) {
        GTEST_SKIP() << "may not mount a file system here";
    }
    node.start();
    ASSERT_TRUE(node.wait_ready()) << read_text(node.folder() + "/log");
    Connected<client::Client> client(
        {.endpoints = {node.client_address()}, .deadline = Seconds(3), .retry = {.tries_max = 1}});
    // What cannot be compressed.
    std::mt19937 random(10);
    const std::string value = random_bytes(random, 256u << 10);
    std::vector<std::string> acknowledged;
    absl::Status refused;
    for (int i = 0; i < 400 && base::reason_of(refused) != base::reason::disk_full; ++i) {
        const std::string key = fmt::format("key {}", i);
        const auto written = client->put(key, value);
        if (written.ok()) {
            acknowledged.push_back(key);
        } else {
            refused = written.status();
        }
    }
    EXPECT_EQ(base::reason_of(refused), base::reason::disk_full) << refused;
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_GT(acknowledged.size(), 10u);
    const auto expect_all_there = [&] {
        for (const std::string& key : acknowledged) {
            const auto read = client->get(key);
            ASSERT_TRUE(read.ok()) << read.status();
            ASSERT_EQ(read->values_size(), 1) << key;
            ASSERT_EQ(read->values(0).value(), value);
        }
    };
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
    disk.resize("200m");
    EXPECT_TRUE(wait_until(Seconds(30), [&] { return client->put("after", "v").ok(); }))
        << client->put("after", "v").status();
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
    EXPECT_EQ(node.terminate(), 0) << read_text(node.folder() + "/log");
    node.start();
    ASSERT_TRUE(node.wait_ready()) << read_text(node.folder() + "/log");
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
}

TEST(ProcessTest, NonsenseOnTheClientPortChangesNothing) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    const uint16_t port = client_port(node);
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
