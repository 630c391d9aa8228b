// Nodes of several shards on real threads, sockets and files, without doors: requests come from
// many threads, as they do from doors.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/loop.h"
#include "env/posix/random.h"
#include "env/posix/transport.h"
#include "env/posix/workers.h"
#include "node/server/node.h"

namespace starling::node {
namespace {

constexpr uint32_t shard_count = 2;
const std::string secret = "sixteen bytes and some more";

// Whether `condition` came true before the test has waited too long.
bool wait_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

// Calls `ask` with a callback and returns what that is called with.
template <typename T>
absl::StatusOr<T> await(absl::FunctionRef<void(absl::AnyInvocable<void(absl::StatusOr<T>)>)> ask) {
    std::promise<absl::StatusOr<T>> answer;
    ask([&answer](absl::StatusOr<T> result) { answer.set_value(std::move(result)); });
    return answer.get_future().get();
}

// A node and all that it runs on.
class Running {
  public:
    explicit Running(std::string directory) {
        for (uint32_t i = 0; i < shard_count; ++i) {
            loops_.push_back(std::make_unique<env::PosixLoop>());
        }
        transport_ = std::make_unique<env::PosixTransport>(
            *loops_.front(), transport_random_, env::PosixTransport::Options{.secret = secret});
        EXPECT_TRUE(transport_->start().ok());
        NodeOptions options;
        options.cluster_secret = secret;
        options.partition_count = 8;
        options.data_directory = std::move(directory);
        options.memory_bytes_max = 32u << 20;
        // Slow machines and sanitizers.
        options.deadline_default = std::chrono::seconds(20);
        options.gossip_probe_interval = std::chrono::milliseconds(200);
        options.entropy_interval = std::chrono::milliseconds(500);
        NodeEnvironment environment;
        for (const auto& loop : loops_) {
            environment.loops.push_back(loop.get());
        }
        environment.workers = &workers_;
        environment.transport = transport_.get();
        environment.wall_clock = &wall_clock_;
        environment.random = &node_random_;
        environment.files = &files_;
        node_ = std::make_unique<Node>(std::move(options), std::move(environment));
        threads_.emplace_back([this] { loops_.front()->run(); });
        on_first_loop([this] {
            const absl::Status started = node_->start();
            EXPECT_TRUE(started.ok()) << started;
        });
        for (uint32_t i = 1; i < shard_count; ++i) {
            threads_.emplace_back([this, i] { loops_[i]->run(); });
        }
    }

    ~Running() {
        on_first_loop([this] { transport_->stop(); });
        for (const auto& loop : loops_) {
            loop->stop();
        }
        for (std::thread& thread : threads_) {
            thread.join();
        }
        workers_.stop(env::PosixWorkers::Queued::drop);
    }

    Node& node() { return *node_; }
    bool is_serving() {
        return wait_until([this] { return node_->is_ready(); });
    }
    env::Address peer_address() const { return transport_->local_address(); }

    absl::Status stop() {
        std::promise<absl::Status> stopped;
        node_->stop([&stopped](absl::Status status) { stopped.set_value(std::move(status)); });
        return stopped.get_future().get();
    }

    absl::StatusOr<AdminService::Joined> join(const env::Address& known) {
        return await<AdminService::Joined>([&](auto done) { node_->join(known, std::move(done)); });
    }
    absl::StatusOr<StatusReport> status() {
        return await<StatusReport>([&](auto done) { node_->status(std::move(done)); });
    }
    absl::StatusOr<std::vector<RingPartition>> ring() {
        return await<std::vector<RingPartition>>([&](auto done) { node_->ring(std::move(done)); });
    }

    absl::StatusOr<PutResult> put(const std::string& key, const std::string& value) {
        return await<PutResult>(
            [&](auto done) { node_->put(write_of(key, value), std::move(done)); });
    }
    // The one value of the key.
    absl::StatusOr<std::string> get(const std::string& key) {
        const auto result = await<GetResult>([&](auto done) {
            GetRequest request;
            request.key = key;
            node_->get(std::move(request), std::move(done));
        });
        if (!result.ok()) {
            return result.status();
        }
        if (result->values.size() != 1) {
            return absl::NotFoundError(fmt::format("{}: {} values", key, result->values.size()));
        }
        return result->values.front().value;
    }

    PutRequest write_of(const std::string& key, const std::string& value) {
        static std::atomic<uint64_t> requests = 0;
        PutRequest request;
        request.key = key;
        request.value = value;
        request.request = {.created_ms = base::to_unix_ms(wall_clock_.wall_now()),
                           .random_high = 1,
                           .random_low = ++requests};
        return request;
    }

  private:
    void on_first_loop(const std::function<void()>& task) {
        std::promise<void> done;
        loops_.front()->post([&] {
            task();
            done.set_value();
        });
        done.get_future().wait();
    }

    env::PosixFileSystem files_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom node_random_;
    env::PosixRandom transport_random_;
    env::PosixWorkers workers_{2};
    std::vector<std::unique_ptr<env::PosixLoop>> loops_;
    std::unique_ptr<env::PosixTransport> transport_;
    std::unique_ptr<Node> node_;
    std::vector<std::thread> threads_;
};

class NodeThreadsTest : public testing::Test {
  protected:
    NodeThreadsTest() {
        std::string pattern = (std::filesystem::temp_directory_path() / "starling-XXXXXX").string();
        EXPECT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
    }
    ~NodeThreadsTest() override { std::filesystem::remove_all(directory); }

    std::unique_ptr<Running> open(const std::string& name) {
        return std::make_unique<Running>(directory + "/" + name);
    }

    std::string directory;
};

TEST_F(NodeThreadsTest, NodesJoinWhileRequestsComeFromManyThreads) {
    constexpr int writer_count = 3;
    constexpr int writes = 60;
    const auto first = open("first");
    const auto second = open("second");
    const auto third = open("third");
    const std::vector<Running*> nodes = {first.get(), second.get(), third.get()};
    for (Running* node : nodes) {
        ASSERT_TRUE(node->is_serving());
    }

    std::atomic<bool> done = false;
    std::atomic<size_t> members = 1;
    std::vector<std::thread> writers;
    for (int writer = 0; writer < writer_count; ++writer) {
        writers.emplace_back([&, writer] {
            for (int i = 0; i < writes; ++i) {
                Running& node = *nodes[static_cast<size_t>(i) % members];
                const std::string key = fmt::format("{}-{}", writer, i);
                const auto result = node.put(key, key);
                EXPECT_TRUE(result.ok()) << key << ": " << result.status();
                const auto found = node.get(key);
                EXPECT_TRUE(found.ok() && *found == key) << key << ": " << found.status();
            }
        });
    }
    std::thread onlooker([&] {
        while (!done) {
            for (Running* node : nodes) {
                EXPECT_TRUE(node->status().ok());
                EXPECT_TRUE(node->ring().ok());
            }
        }
    });
    for (Running* joiner : {second.get(), third.get()}) {
        const auto joined = joiner->join(first->peer_address());
        EXPECT_TRUE(joined.ok()) << joined.status();
        ++members;
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    done = true;
    onlooker.join();

    for (Running* node : nodes) {
        EXPECT_EQ(node->status()->members.size(), nodes.size());
        for (int writer = 0; writer < writer_count; ++writer) {
            for (int i = 0; i < writes; ++i) {
                const std::string key = fmt::format("{}-{}", writer, i);
                const auto found = node->get(key);
                EXPECT_TRUE(found.ok() && *found == key) << key << ": " << found.status();
            }
        }
    }
    for (Running* node : nodes) {
        const absl::Status stopped = node->stop();
        EXPECT_TRUE(stopped.ok()) << stopped;
    }
}

TEST_F(NodeThreadsTest, AStopUnderLoadAnswersEachRequestOnceAndKeepsWhatWasAcknowledged) {
    constexpr int writer_count = 4;
    std::vector<std::vector<std::string>> acknowledged(writer_count);
    {
        const auto node = open("node");
        ASSERT_TRUE(node->is_serving());
        std::atomic<int> acknowledged_count = 0;
        std::vector<std::thread> writers;
        for (size_t writer = 0; writer < writer_count; ++writer) {
            writers.emplace_back([&, writer] {
                for (int i = 0;; ++i) {
                    const std::string key = fmt::format("{}-{}", writer, i);
                    // A promise that is kept twice throws, one that is not kept hangs.
                    const auto result = node->put(key, key);
                    if (!result.ok()) {
                        EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
                        return;
                    }
                    acknowledged[writer].push_back(key);
                    ++acknowledged_count;
                }
            });
        }
        EXPECT_TRUE(wait_until([&] { return acknowledged_count > 200; }));
        const absl::Status stopped = node->stop();
        EXPECT_TRUE(stopped.ok()) << stopped;
        for (std::thread& writer : writers) {
            writer.join();
        }
    }
    const auto node = open("node");
    ASSERT_TRUE(node->is_serving());
    for (const auto& keys : acknowledged) {
        for (const std::string& key : keys) {
            const auto found = node->get(key);
            EXPECT_TRUE(found.ok() && *found == key) << key << ": " << found.status();
        }
    }
    EXPECT_TRUE(node->stop().ok());
}

}  // namespace
}  // namespace starling::node
