#include "node/daemon/process.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/status_macros.h"
#include "node/daemon/logging.h"
#include "node/doors/address.h"
#include "node/server/version.h"

namespace starling::node {

namespace {

uint32_t cores() {
    return std::max(1u, std::thread::hardware_concurrency());
}

// The address that others are told: the advertised one, with the real port where it names port 0.
std::string advertised_as(const std::string& advertised, const std::string& listening) {
    if (advertised.empty()) {
        return listening;
    }
    const auto real = parse_address(listening);
    auto told = parse_address(advertised);
    if (real.ok() && told.ok() && told->port() == 0) {
        told->port(real->port());
        return to_string(*told);
    }
    return advertised;
}

absl::Status make_directories(env::FileSystem& files, const std::string& path) {
    std::filesystem::path built;
    for (const auto& part : std::filesystem::path(path)) {
        built /= part;
        if (!part.empty() && part != "/" && part != "." && part != "..") {
            STARLING_RETURN_IF_ERROR(files.create_directory(built.string()));
        }
    }
    return absl::OkStatus();
}

}  // namespace

Process::Process(Config config, std::string secret, std::optional<env::MasterKey> master_key)
    : config_(std::move(config)), addresses_file_(config_.node.data_directory + "/addresses.json") {
    if (master_key.has_value()) {
        encrypted_.emplace(files_, key_random_, env::KeyRing(*std::move(master_key)));
    }
    config_.node.cluster_secret = std::move(secret);
    config_.node.drain_max = config_.stop_timeout / 4;
    const uint32_t shards = config_.shards != 0 ? config_.shards : cores();
    for (uint32_t i = 0; i < shards; ++i) {
        loops_.push_back(std::make_unique<env::PosixLoop>());
    }
    workers_ = std::make_unique<env::PosixWorkers>(config_.workers != 0 ? config_.workers
                                                                        : std::max(2u, 2 * shards));
    transport_ = std::make_unique<env::PosixTransport>(
        *loops_.front(),
        transport_random_,
        env::PosixTransport::Options{
            .listen = config_.peer_address,
            .advertise = config_.peer_advertised_address,
            .secret = config_.node.cluster_secret,
            .log = [](std::string_view line) { log_line("warning", line); }});
}

Process::~Process() {
    http_.reset();
    grpc_.reset();
    end_threads();
    node_.reset();
}

absl::Status Process::start() {
    STARLING_RETURN_IF_ERROR(listen());
    STARLING_RETURN_IF_ERROR(make_directories(files_, config_.node.data_directory));
    STARLING_RETURN_IF_ERROR(start_node());
    return start_doors();
}

absl::Status Process::listen() {
    STARLING_ASSIGN_OR_RETURN(
        client_listener_,
        Listener::bind(door_loop_, config_.client_address, config_.grpc.connections_max));
    if (!config_.http_address.empty()) {
        STARLING_ASSIGN_OR_RETURN(
            http_listener_,
            Listener::bind(door_loop_, config_.http_address, config_.http.connections_max));
    }
    STARLING_RETURN_IF_ERROR(transport_->start());
    config_.node.client_address =
        advertised_as(config_.client_advertised_address, client_listener_->address());
    return absl::OkStatus();
}

absl::Status Process::start_node() {
    NodeEnvironment environment;
    for (const auto& loop : loops_) {
        environment.loops.push_back(loop.get());
    }
    environment.workers = workers_.get();
    environment.transport = transport_.get();
    environment.wall_clock = &wall_clock_;
    environment.random = &node_random_;
    environment.files = &data_files();
    environment.log = [](std::string_view severity, std::string_view line) {
        log_line(severity, line);
    };
    environment.want_new_life = [this] { wants_new_life_.store(true, std::memory_order_relaxed); };
    node_ = std::make_unique<Node>(config_.node, std::move(environment));
    loop_threads_.emplace_back([loop = loops_.front().get()] { loop->run(); });
    absl::Status status;
    run_on_first_loop([this, &status] { status = node_->start(); });
    STARLING_RETURN_IF_ERROR(status);
    for (size_t i = 1; i < loops_.size(); ++i) {
        loop_threads_.emplace_back([loop = loops_[i].get()] { loop->run(); });
    }
    return absl::OkStatus();
}

env::FileSystem& Process::data_files() {
    if (encrypted_.has_value()) {
        return *encrypted_;
    }
    return files_;
}

absl::Status Process::start_doors() {
    const auto is_ready = [this] { return node_->is_ready(); };
    STARLING_ASSIGN_OR_RETURN(grpc_,
                              GrpcDoor::start(config_.grpc,
                                              {.listener = *client_listener_,
                                               .kv = *node_,
                                               .admin = *node_,
                                               .request_ids = request_ids_,
                                               .metrics = metrics_,
                                               .node = node_->id(),
                                               .version = std::string(software_version),
                                               .is_ready = is_ready}));
    if (http_listener_ != nullptr) {
        door_state_ =
            std::make_unique<DoorState>(DoorState{.metrics = metrics_,
                                                  .admission = grpc_->admission(),
                                                  .grpc_connections = client_listener_->counts(),
                                                  .http_connections = http_listener_->counts(),
                                                  .is_ready = is_ready});
        http_ = std::make_unique<HttpDoor>(config_.http,
                                           HttpDoor::Parts{.loop = door_loop_,
                                                           .listener = *http_listener_,
                                                           .admin = *node_,
                                                           .metrics = metrics_,
                                                           .state = *door_state_});
    }
    return absl::OkStatus();
}

absl::Status Process::write_addresses() {
    const nlohmann::ordered_json page = {
        {"pid", ::getpid()},
        {"node_id", to_string(node_->id())},
        {"client_address", config_.node.client_address},
        {"peer_address", transport_->local_address()},
        {"http_address", http_listener_ == nullptr ? "" : http_listener_->address()}};
    return env::replace_file(files_, addresses_file_, page.dump(2) + "\n");
}

absl::Status Process::announce() {
    log_line(
        "info",
        fmt::format("starlingd {} serves: engine {}, {} shards, clients {}, peers {}, http {}, "
                    "data {}{}, node {}, cluster {}",
                    software_version,
                    config_.node.engine,
                    loops_.size(),
                    client_listener_->address(),
                    transport_->local_address(),
                    http_listener_ == nullptr ? "off" : http_listener_->address(),
                    config_.node.data_directory,
                    encrypted_.has_value() ? " (encrypted)" : "",
                    to_string(node_->id()),
                    to_string(node_->cluster())));
    return write_addresses();
}

absl::Status Process::stop() {
    // Half of the time for requests to finish, a quarter for the node to give up the others, the
    // rest for the data to reach the disk.
    if (!grpc_->drain(config_.stop_timeout / 2)) {
        log_line("warning",
                 "requests are still under way; the node answers or drops them as it stops");
    }
    absl::Status status = stop_node();
    grpc_->shutdown();
    if (http_ != nullptr) {
        http_->stop();
    }
    end_threads();
    static_cast<void>(files_.remove(addresses_file_));
    return status;
}

absl::Status Process::stop_node() {
    // Shared with the callback, which outlives this frame if the node never calls it.
    auto done = std::make_shared<std::promise<absl::Status>>();
    auto stopped = done->get_future();
    node_->stop([done](absl::Status status) { done->set_value(std::move(status)); });
    return stopped.get();
}

void Process::end_threads() {
    if (std::exchange(has_ended_, true)) {
        return;
    }
    if (loop_threads_.empty()) {
        transport_->stop();
    } else {
        run_on_first_loop([this] { transport_->stop(); });
    }
    for (const auto& loop : loops_) {
        loop->stop();
    }
    for (std::thread& thread : loop_threads_) {
        thread.join();
    }
    loop_threads_.clear();
    workers_->stop(env::PosixWorkers::Queued::drop);
}

void Process::run_on_first_loop(const std::function<void()>& task) {
    std::promise<void> done;
    loops_.front()->post([&task, &done] {
        task();
        done.set_value();
    });
    done.get_future().wait();
}

}  // namespace starling::node
