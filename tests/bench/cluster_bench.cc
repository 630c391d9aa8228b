// Puts and gets against three nodes on loopback, N=3, R=W=2, durability sync, 16 B keys and 256 B
// values, and, with
// --etcd, the same load against three etcd nodes in the same run. Absolute figures belong to the
// machine; the ratio is what counts. The command and its results stand in docs/performance.md.

#include <cstdio>
#include <filesystem>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "etcd.grpc.pb.h"
#include "starling/v1/kv.grpc.pb.h"
#include "tests/bench/bench_cluster.h"
#include "tests/bench/closed_loop.h"

namespace starling::bench {
namespace {

constexpr uint64_t key_space = 100'000;
constexpr size_t value_bytes = 256;
// Of Oxia's perf tool.
constexpr uint64_t perf_key_space = 1000;
constexpr size_t perf_value_bytes = 128;
constexpr uint32_t channels_per_node = 2;

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

// A unary call of either system: Traits names the stub, the messages and how to fill the request.
template <typename Traits>
class UnaryCall final : public Call {
  public:
    explicit UnaryCall(std::shared_ptr<grpc::Channel> channel) : stub_(std::move(channel)) {}

    void send(grpc::CompletionQueue& queue, uint64_t number) override {
        context_.emplace();
        context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
        request_.Clear();
        Traits::fill(request_, number);
        reader_ = Traits::start(stub_, *context_, request_, queue);
        reader_->Finish(&response_, &status_, static_cast<Call*>(this));
    }
    bool succeeded() const override { return status_.ok(); }

  private:
    typename Traits::Stub stub_;
    std::optional<grpc::ClientContext> context_;
    typename Traits::Request request_;
    typename Traits::Response response_;
    std::unique_ptr<grpc::ClientAsyncResponseReader<typename Traits::Response>> reader_;
    grpc::Status status_;
};

template <uint64_t keys, size_t bytes>
struct StarlingPutOf {
    using Stub = v1::KV::Stub;
    using Request = v1::PutRequest;
    using Response = v1::WriteResponse;
    static void fill(Request& request, uint64_t number) {
        request.set_key(bench_key(number % keys));
        request.set_value(std::string(bytes, 'v'));
    }
    static auto start(Stub& stub,
                      grpc::ClientContext& context,
                      const Request& request,
                      grpc::CompletionQueue& queue) {
        return stub.AsyncPut(&context, request, &queue);
    }
};

using StarlingPut = StarlingPutOf<key_space, value_bytes>;

template <uint64_t keys>
struct StarlingGetOf {
    using Stub = v1::KV::Stub;
    using Request = v1::GetRequest;
    using Response = v1::GetResponse;
    static void fill(Request& request, uint64_t number) {
        request.set_key(bench_key(number % keys));
    }
    static auto start(Stub& stub,
                      grpc::ClientContext& context,
                      const Request& request,
                      grpc::CompletionQueue& queue) {
        return stub.AsyncGet(&context, request, &queue);
    }
};

using StarlingGet = StarlingGetOf<key_space>;

struct EtcdPut {
    using Stub = etcdserverpb::KV::Stub;
    using Request = etcdserverpb::PutRequest;
    using Response = etcdserverpb::PutResponse;
    static void fill(Request& request, uint64_t number) {
        request.set_key(bench_key(number % key_space));
        request.set_value(std::string(value_bytes, 'v'));
    }
    static auto start(Stub& stub,
                      grpc::ClientContext& context,
                      const Request& request,
                      grpc::CompletionQueue& queue) {
        return stub.AsyncPut(&context, request, &queue);
    }
};

struct EtcdGet {
    using Stub = etcdserverpb::KV::Stub;
    using Request = etcdserverpb::RangeRequest;
    using Response = etcdserverpb::RangeResponse;
    static void fill(Request& request, uint64_t number) {
        request.set_key(bench_key(number % key_space));
    }
    static auto start(Stub& stub,
                      grpc::ClientContext& context,
                      const Request& request,
                      grpc::CompletionQueue& queue) {
        return stub.AsyncRange(&context, request, &queue);
    }
};

Cluster start_etcd(const std::string& etcd, const std::string& folder, int base_port) {
    Cluster cluster;
    std::string members;
    for (int node = 0; node < 3; ++node) {
        members += fmt::format(
            "{}n{}=http://127.0.0.1:{}", node == 0 ? "" : ",", node, base_port + 10 + node);
    }
    for (int node = 0; node < 3; ++node) {
        const std::string client = fmt::format("127.0.0.1:{}", base_port + node);
        const std::string peer = fmt::format("http://127.0.0.1:{}", base_port + 10 + node);
        cluster.addresses.push_back(client);
        cluster.nodes.push_back(std::make_unique<ChildProcess>(
            std::vector<std::string>{etcd,
                                     "--name",
                                     fmt::format("n{}", node),
                                     "--data-dir",
                                     fmt::format("{}/etcd{}", folder, node),
                                     "--listen-client-urls",
                                     "http://" + client,
                                     "--advertise-client-urls",
                                     "http://" + client,
                                     "--listen-peer-urls",
                                     peer,
                                     "--initial-advertise-peer-urls",
                                     peer,
                                     "--initial-cluster",
                                     members,
                                     "--log-level",
                                     "error"},
            fmt::format("{}/etcd-log{}", folder, node)));
    }
    wait_until("etcd has a leader", [&] {
        const auto channel =
            grpc::CreateChannel(cluster.addresses[0], grpc::InsecureChannelCredentials());
        etcdserverpb::KV::Stub stub(channel);
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
        etcdserverpb::PutRequest request;
        request.set_key("ready");
        etcdserverpb::PutResponse response;
        return stub.Put(&context, request, &response).ok();
    });
    return cluster;
}

template <typename Traits>
LoadResult measure(const Cluster& cluster,
                   const std::string& name,
                   uint32_t clients,
                   std::chrono::milliseconds duration) {
    const Channels channels = open_channels(cluster.addresses, channels_per_node);
    const double cpu_before = cluster.cpu_seconds();
    const LoadResult result = run_closed_loop(clients, duration, [&](uint32_t client) {
        return std::make_unique<UnaryCall<Traits>>(channels[client % channels.size()]);
    });
    const double cpu = (cluster.cpu_seconds() - cpu_before) / (result.seconds * 1.2);
    fmt::print(
        "{:<14} {:>4} clients {:>9.0f}/s  p50 {:>8.0f} us  p99 {:>8.0f} us  p99.9 {:>8.0f} us  "
        "failed {}  "
        "servers' CPU {:.2f} cores\n",
        name,
        clients,
        result.per_second(),
        result.p50,
        result.p99,
        result.p999,
        result.failed,
        cpu);
    std::fflush(stdout);
    return result;
}

// The work of Oxia's perf tool: one node, 80 % reads, and no call waits for another.
void measure_open_loop(const std::string& starlingd,
                       const std::string& folder,
                       int base_port,
                       double per_second,
                       std::chrono::seconds duration) {
    const Cluster one = start_starling(starlingd, folder, base_port, 1);
    const Channels channels = open_channels(one.addresses, channels_per_node);
    using Put = UnaryCall<StarlingPutOf<perf_key_space, perf_value_bytes>>;
    using Get = UnaryCall<StarlingGetOf<perf_key_space>>;
    const std::vector<CallFactory> kinds = {
        [&](uint32_t call) { return std::make_unique<Put>(channels[call % channels.size()]); },
        [&](uint32_t call) { return std::make_unique<Get>(channels[call % channels.size()]); }};
    run_counted(16, perf_key_space, kinds[0]);
    const auto kind_of = [](uint64_t number) { return size_t{number % 5 == 0 ? 0u : 1u}; };
    const std::vector<LoadResult> results = run_open_loop(per_second, duration, kinds, kind_of);
    for (const size_t kind : {0u, 1u}) {
        const LoadResult& result = results[kind];
        fmt::print(
            "one node, {:.0f} calls/s, {:<6} {:>9.0f}/s  p50 {:>8.0f} us  p99 {:>8.0f} us  failed "
            "{}\n",
            per_second,
            kind == 0 ? "writes" : "reads",
            result.per_second(),
            result.p50,
            result.p99,
            result.failed);
    }
}

}  // namespace
}  // namespace starling::bench

int main(int argc, char** argv) {
    using namespace starling::bench;
    CLI::App app("Puts and gets per second of three nodes on loopback");
    std::string starlingd = "starlingd";
    std::string etcd;
    std::vector<uint32_t> client_counts = {1, 64, 512};
    uint32_t seconds = 5;
    uint32_t rounds = 1;
    int base_port = 23000;
    app.add_option("--starlingd", starlingd, "path of starlingd");
    app.add_option("--etcd", etcd, "path of etcd, to run the same load against it");
    app.add_option("--clients", client_counts, "numbers of clients")->delimiter(',');
    app.add_option("--seconds", seconds, "length of a measurement");
    app.add_option("--rounds", rounds, "how often each is measured, the systems in turn");
    double open_loop = 0;
    app.add_option("--base-port", base_port, "first of the ports used");
    app.add_option("--open-loop",
                   open_loop,
                   "instead: so many calls per second to one node, as Oxia's perf tool sends them");
    CLI11_PARSE(app, argc, argv);

    std::string folder = std::filesystem::temp_directory_path() / "starling-bench-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        std::perror(folder.c_str());
        return 1;
    }
    if (open_loop > 0) {
        measure_open_loop(starlingd, folder, base_port, open_loop, std::chrono::seconds(seconds));
    } else {
        const Cluster starling = start_starling(starlingd, folder, base_port);
        std::optional<Cluster> peer;
        if (!etcd.empty()) {
            peer = start_etcd(etcd, folder, base_port + 100);
        }
        const std::chrono::seconds duration(seconds);
        for (const uint32_t clients : client_counts) {
            for (uint32_t round = 0; round < rounds; ++round) {
                const LoadResult puts =
                    measure<StarlingPut>(starling, "starling put", clients, duration);
                if (peer.has_value()) {
                    const LoadResult theirs =
                        measure<EtcdPut>(*peer, "etcd put", clients, duration);
                    fmt::print("{:<14} {:>4} clients   ratio {:.2f}\n",
                               "put",
                               clients,
                               puts.per_second() / theirs.per_second());
                }
                const LoadResult gets =
                    measure<StarlingGet>(starling, "starling get", clients, duration);
                if (peer.has_value()) {
                    const LoadResult theirs =
                        measure<EtcdGet>(*peer, "etcd get", clients, duration);
                    fmt::print("{:<14} {:>4} clients   ratio {:.2f}\n",
                               "get",
                               clients,
                               gets.per_second() / theirs.per_second());
                }
            }
        }
    }
    std::filesystem::remove_all(folder);
    return 0;
}
