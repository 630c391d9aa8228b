#include "tests/cluster/test_cluster.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace starling::cluster_test {

namespace {

bool is_free(uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int result = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::close(socket);
    return result == 0;
}

// Below the range that the system gives to outgoing connections: a dead node's port stays free.
uint16_t draw_port() {
    static std::mt19937 random{std::random_device{}()};
    std::uniform_int_distribution<int> ports(12000, 31999);
    while (true) {
        const auto port = static_cast<uint16_t>(ports(random));
        if (is_free(port)) {
            return port;
        }
    }
}

void write_secret(const std::string& path, const std::string& secret) {
    std::ofstream(path) << secret << '\n';
    std::filesystem::permissions(path, std::filesystem::perms(0600));
}

}  // namespace

std::string starlingd_path() {
    return STARLINGD_PATH;
}

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TestNode::TestNode(const std::string& folder,
                   const std::string& secret_path,
                   const std::string& more)
    : folder_(folder),
      config_path_(folder + "/node.toml"),
      peer_port_(draw_port()),
      client_address_(fmt::format("127.0.0.1:{}", draw_port())),
      peer_address_(fmt::format("127.0.0.1:{}", peer_port_)) {
    std::filesystem::create_directories(folder_);
    std::ofstream(config_path_) << fmt::format(
        "cluster_secret_file = \"{}\"\nclient_address = \"{}\"\npeer_address = \"{}\"\n"
        "data_dir = \"{}/data\"\nshards = 1\nmemory_bytes_max = \"128MiB\"\n{}",
        secret_path,
        client_address_,
        peer_address_,
        folder_,
        more);
    admin_ = std::make_unique<Connected<client::AdminClient>>(
        client::ClientOptions{.endpoints = {client_address_}, .deadline = Seconds(5 * slowness)});
}

void TestNode::start() {
    process_ = std::make_unique<Process>(
        std::vector<std::string>{starlingd_path(), "--config-path", config_path_},
        folder_ + "/log");
}

void TestNode::start_with_descriptors(int count) {
    process_ = std::make_unique<Process>(
        std::vector<std::string>{"/bin/sh",
                                 "-c",
                                 fmt::format("ulimit -n {} && exec \"$0\" \"$@\"", count),
                                 starlingd_path(),
                                 "--config-path",
                                 config_path_},
        folder_ + "/log");
}

void TestNode::kill() {
    process_->kill();
}

std::optional<int> TestNode::terminate() {
    process_->send_signal(SIGTERM);
    return process_->wait(Seconds(20));
}

bool TestNode::wait_ready(Seconds deadline) {
    return wait_until(deadline,
                      [this] {
                          const auto answer = admin()->ping();
                          return !is_running() || (answer.ok() && answer->is_ready());
                      }) &&
           is_running();
}

TestCluster::TestCluster(const std::string& more) : more_(more) {
    std::string pattern = (std::filesystem::temp_directory_path() / "starling-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    write_secret(folder_ + "/secret", cluster_secret);
}

TestCluster::~TestCluster() {
    nodes_.clear();
    if (::testing::Test::HasFailure()) {
        fmt::print(stderr, "logs and data: {}\n", folder_);
        return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

TestNode& TestCluster::add_node(const std::string& secret, const std::optional<std::string>& more) {
    TestNode& added = prepare_node(secret, more);
    added.start();
    EXPECT_TRUE(added.wait_ready()) << read_text(added.folder() + "/log");
    return added;
}

TestNode& TestCluster::prepare_node(const std::string& secret,
                                    const std::optional<std::string>& more) {
    const std::string folder = fmt::format("{}/node_{}", folder_, nodes_.size());
    std::string secret_path = folder_ + "/secret";
    if (!secret.empty()) {
        secret_path = fmt::format("{}/secret_{}", folder_, nodes_.size());
        write_secret(secret_path, secret);
    }
    nodes_.push_back(std::make_unique<TestNode>(folder, secret_path, more.value_or(more_)));
    return *nodes_.back();
}

void TestCluster::form(size_t count) {
    for (size_t i = 0; i < count; ++i) {
        TestNode& added = add_node();
        if (i > 0) {
            const auto joined = added.admin()->join(node(0).peer_address());
            ASSERT_TRUE(joined.ok()) << joined.status();
        }
    }
    ASSERT_TRUE(wait_at_rest(Seconds(90))) << describe();
}

std::vector<std::string> TestCluster::addresses() const {
    std::vector<std::string> all;
    for (const auto& node : nodes_) {
        all.push_back(node->client_address());
    }
    return all;
}

client::ClientOptions TestCluster::options() const {
    return {.endpoints = addresses(), .deadline = Seconds(20)};
}

bool TestCluster::is_at_rest(TestNode& node) const {
    const auto status = node.admin()->status();
    if (!status.ok() || static_cast<size_t>(status->members_size()) != nodes_.size()) {
        return false;
    }
    const bool all_alive =
        std::all_of(status->members().begin(), status->members().end(), [](const auto& member) {
            return member.liveness() == "alive";
        });
    return all_alive && status->hints() == 0 && status->groups_dirty() == 0 &&
           status->seats_filling() == 0 && status->seats_fenced() == 0 &&
           status->partitions_short_of_copies() == 0 && !status->read_only();
}

bool TestCluster::wait_at_rest(Seconds deadline) {
    return wait_until(deadline, [this] {
        return std::all_of(
            nodes_.begin(), nodes_.end(), [this](auto& node) { return is_at_rest(*node); });
    });
}

std::string TestCluster::describe() {
    std::string text;
    for (const auto& node : nodes_) {
        const auto status = node->admin()->status();
        text += fmt::format("{}{}:\n{}\n",
                            node->folder(),
                            node->is_running() ? "" : " (not running)",
                            status.ok() ? status->DebugString() : status.status().ToString());
    }
    return text;
}

}  // namespace starling::cluster_test
