#pragma once

// Whole nodes on simulated machines, without any fault that a test does not ask for. A machine's
// disk outlives its node; what is asked of a node is awaited by running the simulation.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/error.h"
#include "env/sim/clock.h"
#include "env/sim/file_system.h"
#include "env/sim/loop.h"
#include "env/sim/network.h"
#include "env/sim/process.h"
#include "env/sim/transport.h"
#include "env/sim/workers.h"
#include "node/replica/storage_keys.h"
#include "node/server/identity.h"
#include "node/server/node.h"
#include "storage/open.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::node {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr uint64_t started_ms = 1'700'000'000'000;

struct World {
    env::SimScheduler scheduler;
    env::SimRandom random{1};
    env::SimNetwork network{scheduler, random.fork("network")};

    // Whether `condition` came true within so much simulated time.
    bool run_until(base::Duration limit, const std::function<bool()>& condition) {
        const env::SimTime end = scheduler.now() + limit;
        while (!condition()) {
            if (scheduler.now() > end || !scheduler.run_one()) {
                return condition();
            }
        }
        return true;
    }
};

// Keeps what an engine would do in the background: a look at a few keys needs none of it.
class IdleWorkers final : public env::Workers {
  public:
    void submit(env::Task job) override { jobs_.push_back(std::move(job)); }
    void submit_after(base::Duration, env::Task job) override { submit(std::move(job)); }

  private:
    std::vector<env::Task> jobs_;
};

// Opens the engine of one shard of a node that does not run.
class OpenShard {
  public:
    OpenShard(env::SimFileSystem& files, uint32_t shard, const std::string& engine = "lsm") {
        storage::EngineOptions options;
        options.engine = engine;
        auto opened = storage::open_engine(
            fmt::format("/data/shard-{}", shard), options, storage::environment(files, workers_));
        STARLING_CHECK_MSG(opened.ok(), opened.status().ToString());
        engine_ = *std::move(opened);
    }
    ~OpenShard() { STARLING_CHECK(engine_->close().ok()); }
    storage::Engine& operator*() { return *engine_; }
    storage::Engine* operator->() { return engine_.get(); }

  private:
    IdleWorkers workers_;
    std::unique_ptr<storage::Engine> engine_;
};

class Machine {
  public:
    explicit Machine(World& world, uint32_t number = 1)
        : world_(world),
          number_(number),
          process_(
              world.scheduler, fmt::format("n{}", number), world.random.fork("machine", number)),
          wall_clock_(world.scheduler, base::WallTime(milliseconds(started_ms))) {
        options.cluster_secret = "the secret of the tests";
        options.partition_count = 16;
        options.memory_bytes_max = 64u << 20;
        options.client_address = fmt::format("10.0.0.{}:3001", number);
        options.data_directory = "/data";
        process_.crash();
    }
    ~Machine() {
        if (node_ != nullptr) {
            crash(env::CrashMode::process);
        }
    }

    // Between two lives they may change.
    NodeOptions options;
    uint32_t shards = 1;
    std::unique_ptr<env::SimFileSystem> disk = std::make_unique<env::SimFileSystem>();

    env::SimFileSystem& files() { return *disk; }
    std::string peer_address() const { return fmt::format("10.0.0.{}:4001", number_); }
    env::SimProcess& process() { return process_; }
    env::SimWallClock& wall_clock() { return wall_clock_; }
    Node& node() { return *node_; }
    bool is_running() const { return node_ != nullptr; }

    // REQUIRES: not running. After an error it does not run either, nor when its disk died.
    absl::Status start() {
        process_.restart();
        NodeEnvironment environment;
        for (uint32_t shard = 0; shard < shards; ++shard) {
            loops_.push_back(std::make_unique<env::SimLoop>(process_));
            environment.loops.push_back(loops_.back().get());
        }
        workers_ = std::make_unique<env::SimWorkers>(process_);
        transport_ = std::make_unique<env::SimTransport>(
            world_.network,
            *loops_.front(),
            peer_address(),
            env::SimTransport::Options{.secret = options.cluster_secret});
        environment.workers = workers_.get();
        environment.transport = transport_.get();
        environment.wall_clock = &wall_clock_;
        random_.emplace(process_.fork_random("node"));
        environment.random = &*random_;
        environment.files = disk.get();
        environment.log = [this](std::string_view, std::string_view line) {
            log.emplace_back(line);
        };
        node_ = std::make_unique<Node>(options, std::move(environment));
        absl::Status status;
        world_.scheduler.run_as(process_.owner(), nullptr, [&] { status = node_->start(); });
        if (disk->faults().dead()) {
            crash(env::CrashMode::lost);
        } else if (!status.ok()) {
            end();
        }
        return status;
    }
    // And serves.
    void start_and_serve() {
        const absl::Status status = start();
        STARLING_CHECK_MSG(status.ok(), status.ToString());
        STARLING_CHECK(world_.run_until(seconds(10), [this] { return node_->is_ready(); }));
    }
    absl::Status stop() {
        std::optional<absl::Status> stopped;
        node_->stop([&stopped](absl::Status status) { stopped = std::move(status); });
        if (!world_.run_until(minutes(1), [&] { return stopped.has_value(); })) {
            return absl::DeadlineExceededError("the node does not stop");
        }
        end();
        return *stopped;
    }
    void crash(env::CrashMode mode = env::CrashMode::lost) {
        // First the disk: what destructors still write must not reach it.
        process_.crash();
        env::SimRandom random = process_.fork_random("crash");
        disk->crash(mode, random);
        end();
    }

    template <typename T>
    absl::StatusOr<T> await(
        const std::function<void(absl::AnyInvocable<void(absl::StatusOr<T>)>)>& ask) {
        // Shared with the callback, which outlives this frame if it is never called.
        auto answer = std::make_shared<std::optional<absl::StatusOr<T>>>();
        ask([answer](absl::StatusOr<T> result) { answer->emplace(std::move(result)); });
        if (!world_.run_until(minutes(2), [&] { return answer->has_value(); })) {
            return absl::UnknownError("no answer");
        }
        return **answer;
    }
    PutRequest make_put(const std::string& key, const std::string& value) {
        PutRequest request;
        request.key = key;
        request.value = value;
        request.request = {.created_ms = base::to_unix_ms(wall_clock_.wall_now()),
                           .random_high = random_->next_id(),
                           .random_low = random_->next_id()};
        return request;
    }
    absl::StatusOr<PutResult> put(PutRequest request) {
        return await<PutResult>(
            [&](auto done) { node_->put(std::move(request), std::move(done)); });
    }
    absl::StatusOr<PutResult> put(const std::string& key,
                                  const std::string& value,
                                  const std::string& name_space = "default") {
        PutRequest request = make_put(key, value);
        request.options.name_space = name_space;
        return put(std::move(request));
    }
    absl::StatusOr<GetResult> get(const std::string& key,
                                  const std::string& name_space = "default") {
        GetRequest request;
        request.key = key;
        request.options.name_space = name_space;
        return await<GetResult>(
            [&](auto done) { node_->get(std::move(request), std::move(done)); });
    }
    // The values, or the error as the only one.
    std::vector<std::string> values(const std::string& key,
                                    const std::string& name_space = "default") {
        const auto result = get(key, name_space);
        if (!result.ok()) {
            return {result.status().ToString()};
        }
        std::vector<std::string> values;
        for (const SiblingValue& sibling : result->values) {
            values.push_back(sibling.value);
        }
        return values;
    }
    absl::StatusOr<AdminService::Joined> join(const std::string& address) {
        return await<AdminService::Joined>(
            [&](auto done) { node_->join(address, std::move(done)); });
    }
    StatusReport status() {
        auto report = await<StatusReport>([&](auto done) { node_->status(std::move(done)); });
        STARLING_CHECK_MSG(report.ok(), report.status().ToString());
        return *std::move(report);
    }
    absl::StatusOr<NamespaceInfo> create_namespace(NamespaceInfo info) {
        return await<NamespaceInfo>(
            [&](auto done) { node_->create_namespace(std::move(info), std::move(done)); });
    }
    std::vector<NamespaceInfo> namespaces() {
        auto all = await<std::vector<NamespaceInfo>>(
            [&](auto done) { node_->list_namespaces(std::move(done)); });
        STARLING_CHECK_MSG(all.ok(), all.status().ToString());
        return *std::move(all);
    }
    // Each partition has a copy on so many live members, and nothing is on its way.
    bool is_settled(uint32_t copies) {
        const StatusReport report = status();
        return report.copies_min == copies && report.seats_filling == 0 && report.seats_fenced == 0;
    }
    // Of this life.
    uint32_t generation() {
        for (const MemberStatus& member : status().members) {
            if (member.node == node_->id()) {
                return member.generation;
            }
        }
        return 0;
    }

    std::vector<std::string> log;

  private:
    void end() {
        if (process_.is_alive()) {
            process_.crash();
        }
        world_.scheduler.run_as(env::no_owner, nullptr, [this] {
            node_.reset();
            transport_.reset();
            workers_.reset();
            loops_.clear();
        });
    }

    World& world_;
    const uint32_t number_;
    env::SimProcess process_;
    env::SimWallClock wall_clock_;
    std::optional<env::SimRandom> random_;
    std::vector<std::unique_ptr<env::SimLoop>> loops_;
    std::unique_ptr<env::SimWorkers> workers_;
    std::unique_ptr<env::SimTransport> transport_;
    std::unique_ptr<Node> node_;
};

// What is stored of a node that does not run.
inline std::optional<Identity> stored_identity(env::SimFileSystem& files, uint32_t shard) {
    OpenShard engine(files, shard);
    auto identity = load_identity(*engine);
    STARLING_CHECK_MSG(identity.ok(), identity.status().ToString());
    return *std::move(identity);
}

inline void expect_error(const absl::Status& status,
                         absl::StatusCode code,
                         std::string_view reason,
                         const std::string& named) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(base::reason_of(status), reason) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(named));
}

}  // namespace starling::node
