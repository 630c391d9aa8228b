#pragma once

// A closed loop of clients, each of which sends its next call when its last was answered, or an
// open one. All run on one thread over one completion queue, so that the load costs little beside
// what it measures.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

namespace starling::bench {

// One call of one client, under way or between two.
class Call {
  public:
    virtual ~Call() = default;
    // Sends the call with this number; `this` comes back as the tag.
    virtual void send(grpc::CompletionQueue& queue, uint64_t number) = 0;
    virtual bool succeeded() const = 0;
};

using CallFactory = std::function<std::unique_ptr<Call>(uint32_t client)>;

struct LoadResult {
    uint64_t succeeded = 0;
    uint64_t failed = 0;
    double seconds = 0;
    // Microseconds.
    double p50 = 0;
    double p99 = 0;
    double p999 = 0;

    double per_second() const { return static_cast<double>(succeeded) / seconds; }
};

// Runs `clients` for `duration`, after a warm-up of a fifth of it that is not counted.
LoadResult run_closed_loop(uint32_t clients,
                           std::chrono::milliseconds duration,
                           const CallFactory& make_call);

// Sends `count` calls.
LoadResult run_counted(uint32_t clients, uint64_t count, const CallFactory& make_call);

// Sends so many calls per second at their times, whether earlier ones were answered or not, after a
// warm-up as above; a latency counts from when its call was due. Of each kind of call.
std::vector<LoadResult> run_open_loop(double per_second,
                                      std::chrono::milliseconds duration,
                                      const std::vector<CallFactory>& kinds,
                                      const std::function<size_t(uint64_t number)>& kind_of);

// As many channels as asked for to each address, each with a connection of its own.
std::vector<std::shared_ptr<grpc::Channel>> open_channels(const std::vector<std::string>& addresses,
                                                          uint32_t per_address);

// Sixteen bytes.
std::string bench_key(uint64_t number);

}  // namespace starling::bench
