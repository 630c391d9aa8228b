#include "tests/bench/bench_cluster.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "starling/v1/admin.grpc.pb.h"

namespace starling::bench {

namespace {

// Unless configured otherwise.
constexpr int seat_count = 3;

bool all_seats_are_placed(v1::Admin::Stub& admin, int nodes) {
    grpc::ClientContext context;
    v1::StatusRequest request;
    v1::StatusResponse response;
    return admin.Status(&context, request, &response).ok() && response.members_size() == nodes &&
           (response.partitions_short_of_copies() == 0 || nodes < seat_count) &&
           response.seats_filling() == 0;
}

void wait_until_it_serves(const std::shared_ptr<grpc::Channel>& channel) {
    v1::Admin::Stub admin(channel);
    wait_until("a node serves", [&] {
        grpc::ClientContext context;
        v1::PingResponse response;
        return admin.Ping(&context, v1::PingRequest(), &response).ok() && response.is_ready();
    });
}

}  // namespace

double Cluster::cpu_seconds() const {
    double sum = 0;
    for (const auto& node : nodes) {
        sum += node->cpu_seconds();
    }
    return sum;
}

void Cluster::start(size_t node) {
    nodes[node] = std::make_unique<ChildProcess>(commands[node], logs[node]);
    wait_until_it_serves(grpc::CreateChannel(addresses[node], grpc::InsecureChannelCredentials()));
}

void wait_until(const std::string& what, const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) {
            fmt::print(stderr, "gave up waiting until {}\n", what);
            std::exit(1);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

Cluster start_starling(const std::string& starlingd,
                       const std::string& folder,
                       int base_port,
                       int nodes,
                       const std::string& more) {
    Cluster cluster;
    std::ofstream(folder + "/secret") << "0123456789abcdef0123456789abcdef\n";
    std::filesystem::permissions(folder + "/secret", std::filesystem::perms(0600));
    for (int node = 0; node < nodes; ++node) {
        const std::string config = fmt::format("{}/node{}.toml", folder, node);
        std::ofstream(config) << fmt::format(
            "cluster_secret_file = \"{0}/secret\"\nclient_address = "
            "\"127.0.0.1:{1}\"\npeer_address = "
            "\"127.0.0.1:{2}\"\nhttp_address = \"127.0.0.1:{3}\"\ndata_dir = "
            "\"{0}/data{4}\"\nshards = 1\n{5}",
            folder,
            base_port + node,
            base_port + 10 + node,
            base_port + 20 + node,
            node,
            more);
        cluster.addresses.push_back(fmt::format("127.0.0.1:{}", base_port + node));
        cluster.commands.push_back({starlingd, "--config-path", config});
        cluster.logs.push_back(fmt::format("{}/log{}", folder, node));
        cluster.nodes.push_back(
            std::make_unique<ChildProcess>(cluster.commands.back(), cluster.logs.back()));
    }
    for (int node = 0; node < nodes; ++node) {
        const auto channel = grpc::CreateChannel(cluster.addresses[static_cast<size_t>(node)],
                                                 grpc::InsecureChannelCredentials());
        wait_until_it_serves(channel);
        if (node == 0) {
            continue;
        }
        v1::Admin::Stub admin(channel);
        grpc::ClientContext context;
        v1::JoinRequest request;
        request.set_known_address(fmt::format("127.0.0.1:{}", base_port + 10));
        v1::JoinResponse response;
        const grpc::Status status = admin.Join(&context, request, &response);
        if (!status.ok()) {
            fmt::print(stderr, "join: {}\n", status.error_message());
            std::exit(1);
        }
    }
    v1::Admin::Stub admin(
        grpc::CreateChannel(cluster.addresses[0], grpc::InsecureChannelCredentials()));
    wait_until("all seats are placed", [&] { return all_seats_are_placed(admin, nodes); });
    return cluster;
}

}  // namespace starling::bench
