#pragma once

// The way from simulated clients to nodes and back: requests and answers are delayed, lost and
// repeated here. It also watches that a node answers each request exactly once, and in time (I19):
// a request that a living node drops is a violation, and so is an answer that it gives later than
// `lateness_max` after the deadline, by its own monotonic clock and from when it took the request
// up. A node that was paused answers when it runs again; where timers are late, an answer may be as
// late as they.

#include <functional>
#include <memory>

#include "absl/status/statusor.h"

#include "node/api.h"
#include "tests/sim/machine.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

class ClientLink {
  public:
    struct World {
        env::SimScheduler& scheduler;
        Verdict& verdict;
        const RunOptions& options;
    };
    // A deadline is a timer, which is on time but for the rounding of two clocks: disks, however
    // slow, hold up no timer.
    static constexpr base::Duration lateness_max = std::chrono::milliseconds(1);

    // What became of one request, however many copies of it arrived.
    template <typename Result>
    struct Events {
        // A node gives an answer, which has not left it yet. May be null.
        std::function<void(Machine&, const absl::StatusOr<Result>&)> given = nullptr;
        // The client gets an answer: never, once, or once for each copy.
        std::function<void(absl::StatusOr<Result>)> answered;
        // Once, after which no copy is on its way or being worked on. `unanswered` copies were
        // dropped by a crash while the node worked on them.
        std::function<void(uint32_t delivered, uint32_t unanswered)> ended;
    };

    ClientLink(World world, env::SimRandom random) : world_(world), random_(random) {}

    void put(Machine& machine, node::PutRequest request, Events<node::PutResult> events);
    void get(Machine& machine, node::GetRequest request, Events<node::GetResult> events);

    // Requests delivered to nodes and not answered.
    uint64_t under_way() const { return under_way_; }
    // At the end of a run nodes may be destroyed with requests under way.
    void close() { closing_ = true; }

  private:
    template <typename Result>
    struct Call;
    template <typename Result>
    class Copy;

    template <typename Result, typename Request>
    void send(Machine& machine, Request request, Events<Result> events);
    template <typename Result, typename Request>
    void deliver(Machine& machine, const Request& request, std::unique_ptr<Copy<Result>> copy);
    template <typename Result>
    void send_back(const std::shared_ptr<Call<Result>>& call, absl::StatusOr<Result> result);
    base::Duration draw_delay() {
        return random_.exponential(world_.options.workload.link_delay_mean);
    }
    // Until when a node has to answer what it takes up now.
    base::MonotonicTime due_of(Machine& machine, const node::RequestOptions& request) const;
    void check_in_time(Machine& machine, base::MonotonicTime due) const;

    const World world_;
    env::SimRandom random_;
    uint64_t under_way_ = 0;
    bool closing_ = false;
};

}  // namespace starling::sim
