// Round trips of 100-byte frames between two PosixTransports on loopback, each with a loop of its
// own on a thread of its own: `bench_transport [outstanding] [seconds] [frame bytes]`. One line,
// tab-separated.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "env/posix/loop.h"
#include "env/posix/random.h"
#include "env/posix/transport.h"

namespace starling::env {
namespace {

class Node {
  public:
    Node() : transport_(loop_, random_, {.secret = "bench"}) {}

    void start(Transport::Handler handler) {
        transport_.set_handler(std::move(handler));
        if (const absl::Status status = transport_.start(); !status.ok()) {
            std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
            std::exit(1);
        }
        thread_ = std::thread([this] { loop_.run(); });
    }

    PosixTransportStats stop() {
        PosixTransportStats stats;
        loop_.post([&] {
            stats = transport_.stats();
            transport_.stop();
            loop_.stop();
        });
        thread_.join();
        return stats;
    }

    PosixLoop& loop() { return loop_; }
    PosixTransport& transport() { return transport_; }

  private:
    PosixLoop loop_;
    PosixRandom random_;
    PosixTransport transport_;
    std::thread thread_;
};

int run(int outstanding, int seconds, size_t frame_bytes) {
    Node server;
    Node client;
    server.start([&](const Delivery& delivery) {
        static_cast<void>(
            server.transport().reply(delivery.connection, std::string(delivery.frame)));
    });
    std::atomic<uint64_t> trips = 0;
    const Address to = server.transport().local_address();
    client.start([&](const Delivery& delivery) {
        trips.fetch_add(1, std::memory_order_relaxed);
        static_cast<void>(client.transport().send(to, std::string(delivery.frame)));
    });
    client.loop().post([&] {
        for (int i = 0; i < outstanding; ++i) {
            static_cast<void>(client.transport().send(to, std::string(frame_bytes, 'x')));
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const uint64_t before = trips;
    const auto start = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    const uint64_t done = trips - before;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const double rate = static_cast<double>(done) / took.count();
    const PosixTransportStats stats = client.stop();
    server.stop();
    std::printf(
        "outstanding\t%d\tbytes\t%zu\tround_trips_per_s\t%.0f\tframes_per_s\t%.0f\t"
        "mean_us\t%.1f\tframes_per_write\t%.1f\n",
        outstanding,
        frame_bytes,
        rate,
        2 * rate,
        1e6 * outstanding / rate,
        static_cast<double>(stats.frames_sent) / static_cast<double>(stats.writes));
    return 0;
}

}  // namespace
}  // namespace starling::env

int main(int argc, char** argv) {
    const int outstanding = argc > 1 ? std::atoi(argv[1]) : 64;
    const int seconds = argc > 2 ? std::atoi(argv[2]) : 3;
    const int frame_bytes = argc > 3 ? std::atoi(argv[3]) : 100;
    return starling::env::run(outstanding, seconds, static_cast<size_t>(frame_bytes));
}
