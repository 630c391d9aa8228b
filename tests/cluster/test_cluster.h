#pragma once

// Real nodes: starlingd processes on loopback, each with a folder below one temporary folder, which
// stays for a look at the logs when a test fails.
//
// A node keeps its ports, its data and its configuration over all its restarts.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "env/posix/clock.h"
#include "env/posix/random.h"
#include "tests/cluster/process.h"

namespace starling::cluster_test {

inline constexpr const char* cluster_secret = "0123456789abcdef0123456789abcdef";

// A client with the environment that it needs.
template <typename T>
class Connected {
  public:
    explicit Connected(client::ClientOptions options)
        : value_(*T::make(std::move(options), {clock_, wall_clock_, random_})) {}
    T* operator->() const { return value_.get(); }

  private:
    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom random_;
    std::unique_ptr<T> value_;
};

class TestNode {
  public:
    TestNode(const std::string& folder, const std::string& secret_path, const std::string& more);

    // REQUIRES: not running.
    void start();
    // Under `ulimit -n COUNT`.
    void start_with_descriptors(int count);
    bool is_running() const { return process_ != nullptr && process_->is_running(); }
    void kill();
    // SIGTERM; the exit code, or nothing if it does not end.
    std::optional<int> terminate();
    // For what the signal does not end at once. REQUIRES: was started.
    Process& process() { return *process_; }

    bool wait_ready(Seconds deadline = Seconds(30));
    const std::string& client_address() const { return client_address_; }
    const std::string& peer_address() const { return peer_address_; }
    uint16_t peer_port() const { return peer_port_; }
    const std::string& config_path() const { return config_path_; }
    const std::string& folder() const { return folder_; }
    client::AdminClient* admin() { return admin_->operator->(); }

  private:
    const std::string folder_;
    const std::string config_path_;
    uint16_t peer_port_ = 0;
    std::string client_address_;
    std::string peer_address_;
    std::unique_ptr<Process> process_;
    std::unique_ptr<Connected<client::AdminClient>> admin_;
};

class TestCluster {
  public:
    // `more`: lines of configuration for each node.
    explicit TestCluster(const std::string& more = "");
    ~TestCluster();
    TestCluster(const TestCluster&) = delete;
    TestCluster& operator=(const TestCluster&) = delete;

    // A node of its own, running. `secret`: another one than the cluster's; `more`: other lines of
    // configuration than the other nodes'.
    TestNode& add_node(const std::string& secret = "", const std::optional<std::string>& more = {});
    // The same, not running yet.
    TestNode& prepare_node(const std::string& secret = "",
                           const std::optional<std::string>& more = {});
    // `count` nodes, of which the others join the first, at rest: at least as many as copies.
    void form(size_t count);

    size_t size() const { return nodes_.size(); }
    TestNode& node(size_t index) { return *nodes_[index]; }
    std::vector<std::string> addresses() const;
    client::ClientOptions options() const;
    const std::string& folder() const { return folder_; }

    // Whether all nodes came to rest: all members alive, copies complete, nothing on its way.
    bool wait_at_rest(Seconds deadline);
    // What each node says of itself, for a failure's message.
    std::string describe();

  private:
    bool is_at_rest(TestNode& node) const;

    const std::string more_;
    std::string folder_;
    std::vector<std::unique_ptr<TestNode>> nodes_;
};

std::string starlingd_path();
// Of a log or the like; empty when it cannot be read.
std::string read_text(const std::string& path);

}  // namespace starling::cluster_test
