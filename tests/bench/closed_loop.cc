#include "tests/bench/closed_loop.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

namespace starling::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

double percentile(const std::vector<float>& sorted, double part) {
    if (sorted.empty()) {
        return 0;
    }
    const auto index = static_cast<size_t>(part * static_cast<double>(sorted.size() - 1));
    return static_cast<double>(sorted[index]);
}

void note_latencies(std::vector<float>& latencies, LoadResult& result) {
    std::sort(latencies.begin(), latencies.end());
    result.p50 = percentile(latencies, 0.5);
    result.p99 = percentile(latencies, 0.99);
    result.p999 = percentile(latencies, 0.999);
}

// What is sent and what counts, by the time and the number of the call.
struct Plan {
    std::function<bool(SteadyClock::time_point, uint64_t)> sends;
    std::function<bool(SteadyClock::time_point)> counts;
};

LoadResult run(uint32_t clients, const Plan& plan, const CallFactory& make_call) {
    struct Client {
        std::unique_ptr<Call> call;
        SteadyClock::time_point sent;
    };
    grpc::CompletionQueue queue;
    std::vector<Client> all(clients);
    // The tag is the call; calls are found by their index.
    std::vector<Call*> order;
    uint64_t number = 0;
    for (uint32_t index = 0; index < clients; ++index) {
        all[index].call = make_call(index);
        order.push_back(all[index].call.get());
    }
    std::vector<std::pair<Call*, uint32_t>> index_of;
    for (uint32_t index = 0; index < clients; ++index) {
        index_of.emplace_back(order[index], index);
    }
    std::sort(index_of.begin(), index_of.end());

    for (Client& client : all) {
        client.sent = SteadyClock::now();
        client.call->send(queue, number++);
    }
    LoadResult result;
    std::vector<float> latencies;
    uint32_t open = clients;
    void* tag = nullptr;
    bool ok = false;
    while (open > 0 && queue.Next(&tag, &ok)) {
        auto* call = static_cast<Call*>(tag);
        const auto found =
            std::lower_bound(index_of.begin(), index_of.end(), std::pair<Call*, uint32_t>(call, 0));
        Client& client = all[found->second];
        const auto now = SteadyClock::now();
        if (plan.counts(now)) {
            if (ok && call->succeeded()) {
                ++result.succeeded;
                latencies.push_back(
                    std::chrono::duration<float, std::micro>(now - client.sent).count());
            } else {
                ++result.failed;
            }
        }
        if (!plan.sends(now, number)) {
            --open;
            continue;
        }
        client.sent = now;
        call->send(queue, number++);
    }
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    note_latencies(latencies, result);
    return result;
}

}  // namespace

LoadResult run_closed_loop(uint32_t clients,
                           std::chrono::milliseconds duration,
                           const CallFactory& make_call) {
    const auto count_from = SteadyClock::now() + duration / 5;
    const auto end = count_from + duration;
    LoadResult result =
        run(clients,
            {.sends = [=](SteadyClock::time_point now, uint64_t) { return now < end; },
             .counts = [=](SteadyClock::time_point now) { return now >= count_from && now < end; }},
            make_call);
    result.seconds = std::chrono::duration<double>(duration).count();
    return result;
}

LoadResult run_counted(uint32_t clients, uint64_t count, const CallFactory& make_call) {
    const auto begin = SteadyClock::now();
    LoadResult result =
        run(clients,
            {.sends = [=](SteadyClock::time_point, uint64_t number) { return number < count; },
             .counts = [](SteadyClock::time_point) { return true; }},
            make_call);
    result.seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    return result;
}

std::vector<LoadResult> run_open_loop(double per_second,
                                      std::chrono::milliseconds duration,
                                      const std::vector<CallFactory>& kinds,
                                      const std::function<size_t(uint64_t number)>& kind_of) {
    struct Sent {
        std::unique_ptr<Call> call;
        size_t kind = 0;
        SteadyClock::time_point due;
    };
    grpc::CompletionQueue queue;
    std::unordered_map<Call*, Sent> sent;
    std::vector<std::vector<std::unique_ptr<Call>>> free(kinds.size());
    std::vector<LoadResult> results(kinds.size());
    std::vector<std::vector<float>> latencies(kinds.size());
    uint32_t made = 0;
    uint64_t number = 0;
    const auto begin = SteadyClock::now();
    const auto count_from = begin + duration / 5;
    const auto end = count_from + duration;
    const auto due_at = [&](uint64_t call) {
        return begin + std::chrono::duration_cast<SteadyClock::duration>(
                           std::chrono::duration<double>(static_cast<double>(call) / per_second));
    };
    while (due_at(number) < end || !sent.empty()) {
        for (; due_at(number) < std::min(end, SteadyClock::now()); ++number) {
            Sent next{.call = nullptr, .kind = kind_of(number), .due = due_at(number)};
            auto& of_kind = free[next.kind];
            if (of_kind.empty()) {
                next.call = kinds[next.kind](made++);
            } else {
                next.call = std::move(of_kind.back());
                of_kind.pop_back();
            }
            Call* const call = next.call.get();
            sent.emplace(call, std::move(next));
            call->send(queue, number);
        }
        void* tag = nullptr;
        bool ok = false;
        const auto wake = std::chrono::system_clock::now() + (due_at(number) - SteadyClock::now());
        if (queue.AsyncNext(&tag, &ok, wake) != grpc::CompletionQueue::GOT_EVENT) {
            continue;
        }
        auto answered = sent.extract(static_cast<Call*>(tag));
        Sent& call = answered.mapped();
        const auto now = SteadyClock::now();
        if (call.due >= count_from) {
            if (ok && call.call->succeeded()) {
                ++results[call.kind].succeeded;
                latencies[call.kind].push_back(
                    std::chrono::duration<float, std::micro>(now - call.due).count());
            } else {
                ++results[call.kind].failed;
            }
        }
        free[call.kind].push_back(std::move(call.call));
    }
    queue.Shutdown();
    for (size_t kind = 0; kind < kinds.size(); ++kind) {
        results[kind].seconds = std::chrono::duration<double>(duration).count();
        note_latencies(latencies[kind], results[kind]);
    }
    return results;
}

std::vector<std::shared_ptr<grpc::Channel>> open_channels(const std::vector<std::string>& addresses,
                                                          uint32_t per_address) {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (uint32_t copy = 0; copy < per_address; ++copy) {
        for (const std::string& address : addresses) {
            grpc::ChannelArguments arguments;
            arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
            channels.push_back(
                grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
            channels.back()->WaitForConnected(std::chrono::system_clock::now() +
                                              std::chrono::seconds(10));
        }
    }
    return channels;
}

std::string bench_key(uint64_t number) {
    return fmt::format("{:016x}", number * 0x9e3779b97f4a7c15ULL);
}

}  // namespace starling::bench
