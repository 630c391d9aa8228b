// What convergence costs three nodes on loopback that nobody disturbs: CPU, bytes sent and reads of
// files while nothing differs; bytes sent for a node that has missed a few writes of many keys; and
// how soon the tombstones of many deletes are gone, and their space. The command and its results
// stand in docs/performance.md.

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>
#include <thread>

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "starling/v1/kv.grpc.pb.h"
#include "tests/bench/bench_cluster.h"
#include "tests/bench/closed_loop.h"

namespace starling::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr uint32_t clients = 256;
constexpr int http_port_offset = 20;

double seconds_since(SteadyClock::time_point begin) {
    return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// A put of a key's first value, or its deletion, which replaces what the coordinator has.
class Write final : public Call {
  public:
    // Of each `stride`th key.
    Write(std::shared_ptr<grpc::Channel> channel,
          size_t value_bytes,
          bool is_delete,
          uint64_t stride)
        : stub_(std::move(channel)),
          value_(value_bytes, 'v'),
          is_delete_(is_delete),
          stride_(stride) {}

    void send(grpc::CompletionQueue& queue, uint64_t count) override {
        const uint64_t number = count * stride_;
        context_.emplace();
        context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        if (is_delete_) {
            v1::DeleteRequest request;
            request.set_key(bench_key(number));
            reader_ = stub_.AsyncDelete(&*context_, request, &queue);
        } else {
            v1::PutRequest request;
            request.set_key(bench_key(number));
            request.set_value(value_);
            reader_ = stub_.AsyncPut(&*context_, request, &queue);
        }
        reader_->Finish(&response_, &status_, static_cast<Call*>(this));
    }
    bool succeeded() const override { return status_.ok(); }

  private:
    v1::KV::Stub stub_;
    const std::string value_;
    const bool is_delete_;
    const uint64_t stride_;
    std::optional<grpc::ClientContext> context_;
    v1::WriteResponse response_;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::WriteResponse>> reader_;
    grpc::Status status_;
};

void write_all(const std::vector<std::string>& addresses,
               uint64_t keys,
               size_t value_bytes,
               bool is_delete,
               uint64_t stride = 1) {
    const auto channels = open_channels(addresses, 2);
    const LoadResult result = run_counted(clients, keys, [&](uint32_t client) {
        return std::make_unique<Write>(
            channels[client % channels.size()], value_bytes, is_delete, stride);
    });
    fmt::print("{} {}: {:.0f}/s, {} failed\n",
               keys,
               is_delete ? "deletes" : "puts",
               result.per_second(),
               result.failed);
    std::fflush(stdout);
}

std::string fetch_metrics(int port) {
    const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string text;
    if (::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
        const std::string request =
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        if (::write(connection, request.data(), request.size()) ==
            static_cast<ssize_t>(request.size())) {
            char piece[65536];
            for (ssize_t got; (got = ::read(connection, piece, sizeof(piece))) > 0;) {
                text.append(piece, static_cast<size_t>(got));
            }
        }
    }
    ::close(connection);
    return text;
}

// Over all labels. Ends the program where the node has no such metric.
double metric_of(const std::string& name, int base_port, int node) {
    double sum = 0;
    std::istringstream lines(fetch_metrics(base_port + http_port_offset + node));
    bool is_found = false;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + " ") || line.starts_with(name + "{")) {
            sum += std::stod(line.substr(line.rfind(' ')));
            is_found = true;
        }
    }
    if (!is_found) {
        fmt::print(stderr, "node {} has no metric {}\n", node, name);
        std::exit(1);
    }
    return sum;
}

double sum_of_metric(const std::string& name, int base_port) {
    double sum = 0;
    for (int node = 0; node < 3; ++node)
        sum += metric_of(name, base_port, node);
    return sum;
}

struct DiskBytes {
    uint64_t all = 0;
    // Files that are used again and again, of a memtable's size.
    uint64_t logs = 0;
};

DiskBytes bytes_on_disk(const std::string& folder) {
    DiskBytes bytes;
    std::error_code gone;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file(gone) &&
            entry.path().string().find("/data") != std::string::npos) {
            const uint64_t size = entry.file_size(gone);
            bytes.all += gone ? 0 : size;
            bytes.logs += gone || entry.path().extension() != ".log" ? 0 : size;
        }
    }
    return bytes;
}

// Bytes that the nodes' processes asked the kernel for.
uint64_t bytes_read(const Cluster& cluster) {
    uint64_t bytes = 0;
    for (const auto& node : cluster.nodes) {
        bytes += node->bytes_read();
    }
    return bytes;
}

void measure_rest(const Cluster& cluster, int base_port, std::chrono::seconds length) {
    const double cpu = cluster.cpu_seconds();
    const uint64_t read = bytes_read(cluster);
    const double checks = sum_of_metric("starling_entropy_checks_total", base_port);
    const double sent = sum_of_metric("starling_entropy_bytes_sent_total", base_port);
    const auto begin = SteadyClock::now();
    std::this_thread::sleep_for(length);
    const double seconds = seconds_since(begin);
    const double compared = sum_of_metric("starling_entropy_checks_total", base_port) - checks;
    fmt::print(
        "at rest for {:.0f} s: {:.2f} % of one core per node, {:.0f} comparisons/s in all of "
        "{:.0f} "
        "bytes sent (both ways, and whatever else anti-entropy says), {:.1f} KiB/s read per node\n",
        seconds,
        (cluster.cpu_seconds() - cpu) / seconds / 3 * 100,
        compared / seconds,
        (sum_of_metric("starling_entropy_bytes_sent_total", base_port) - sent) / compared,
        static_cast<double>(bytes_read(cluster) - read) / seconds / 3 / 1024);
    std::fflush(stdout);
}

// Bytes that anti-entropy sends until a node has what it missed. Hints have no room.
void measure_differences(Cluster& cluster, int base_port, uint64_t keys, size_t value_bytes) {
    constexpr size_t away = 2;
    constexpr uint64_t differing = 1'000;
    cluster.stop(away);
    std::vector<std::string> others(cluster.addresses.begin(), cluster.addresses.begin() + away);
    write_all(others, differing, value_bytes, /*is_delete=*/false, keys / differing);
    const auto of_node = [&](const std::string& name, int node) {
        return metric_of(name, base_port, node);
    };
    double before = 0;
    for (int node = 0; node < static_cast<int>(away); ++node)
        before += of_node("starling_entropy_bytes_sent_total", node);
    const auto begin = SteadyClock::now();
    cluster.start(away);
    wait_until("the node has what it missed",
               [&] { return of_node("starling_entropy_records_pulled_total", away) >= differing; });
    const double seconds = seconds_since(begin);
    const double sent = sum_of_metric("starling_entropy_bytes_sent_total", base_port) - before;
    fmt::print(
        "{} of {} keys differ: {:.0f} KiB of records pulled, {:.0f} KiB sent by "
        "anti-entropy in all, {:.1f} s after the start\n",
        differing,
        keys,
        of_node("starling_entropy_bytes_pulled_total", away) / 1024,
        sent / 1024,
        seconds);
    std::fflush(stdout);
}

void wait_for_tombstones(int base_port) {
    const auto begin = SteadyClock::now();
    double left = sum_of_metric("starling_tombstones", base_port);
    fmt::print("tombstones when the last delete was answered: {:.0f}\n", left);
    double print_at = 5;
    while (left > 0 && seconds_since(begin) < 600) {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        left = sum_of_metric("starling_tombstones", base_port);
        if (left > 0 && seconds_since(begin) >= print_at) {
            fmt::print("  after {:.0f} s: {:.0f}\n", print_at, left);
            std::fflush(stdout);
            print_at += 5;
        }
    }
    fmt::print("after {:.1f} s: {:.0f}\n", seconds_since(begin), left);
    std::fflush(stdout);
}

}  // namespace
}  // namespace starling::bench

int main(int argc, char** argv) {
    using namespace starling::bench;
    CLI::App app("What convergence costs three nodes on loopback");
    std::string starlingd = "starlingd";
    std::string directory = std::filesystem::temp_directory_path();
    uint64_t keys = 1'000'000;
    size_t value_bytes = 100;
    uint32_t seconds = 60;
    int base_port = 23000;
    app.add_option("--starlingd", starlingd, "path of starlingd");
    app.add_option("--directory", directory, "where the nodes' data lies, and is removed");
    app.add_option("--keys", keys, "how many are written and deleted");
    app.add_option("--value-bytes", value_bytes, "size of a value");
    app.add_option("--seconds", seconds, "length of the measurement at rest");
    app.add_option("--base-port", base_port, "first of the ports used");
    CLI11_PARSE(app, argc, argv);

    std::string folder = directory + "/convergence-bench-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        std::perror(folder.c_str());
        return 1;
    }
    {
        Cluster cluster =
            start_starling(starlingd, folder, base_port, /*nodes=*/3, "hint_bytes_max = \"1B\"\n");
        write_all(cluster.addresses, keys, value_bytes, /*is_delete=*/false);
        std::this_thread::sleep_for(std::chrono::seconds(60));
        const auto on_disks = [&] {
            const DiskBytes bytes = bytes_on_disk(folder);
            return fmt::format("{:.1f} MiB, {:.1f} MiB of it logs",
                               static_cast<double>(bytes.all) / (1 << 20),
                               static_cast<double>(bytes.logs) / (1 << 20));
        };
        fmt::print("on the disks: {}\n", on_disks());
        measure_rest(cluster, base_port, std::chrono::seconds(seconds));
        measure_differences(cluster, base_port, keys, value_bytes);
        write_all(cluster.addresses, keys, value_bytes, /*is_delete=*/true);
        wait_for_tombstones(base_port);
        fmt::print("on the disks: {}", on_disks());
        std::this_thread::sleep_for(std::chrono::seconds(180));
        fmt::print("; three minutes later {}\n", on_disks());
    }
    std::filesystem::remove_all(folder);
    return 0;
}
