#pragma once

// What the simulated clients want: which keys, which operations, with which contexts, quorums and
// deadlines, and nonsense now and then. The pace follows what succeeds, so that a run under heavy
// faults still checks enough operations and a run without any does not waste time on them.

#include <functional>
#include <memory>
#include <vector>

#include "tests/sim/key_material.h"
#include "tests/sim/operations.h"

namespace starling::sim {

class Workload {
  public:
    // Makes the oracle's keys: each in each namespace.
    Workload(env::SimScheduler& scheduler,
             const env::SimRandom& random,
             const RunOptions& options,
             const std::vector<node::NamespaceInfo>& name_spaces,
             Oracle& oracle);
    ~Workload();
    Workload(const Workload&) = delete;
    Workload& operator=(const Workload&) = delete;

    // REQUIRES: before end(), the operations outlive this.
    void begin(Operations& operations);
    // No new operations.
    void end() { running_ = false; }

  private:
    struct KeyState {
        ValueMaker values;
    };

    void schedule_arrival();
    base::Duration draw_gap();
    void begin_operation(Session& session);
    void begin_lone(size_t index);
    void begin_put(Session& session, KeyIndex key, bool is_delete);
    void begin_read(Session& session, KeyIndex key, std::function<void(bool)> then);
    void begin_invalid(Session& session, KeyIndex key);
    // With what a read has seen; whether it was written.
    void put_over(Session& session,
                  KeyIndex key,
                  const SeenToken& seen,
                  std::function<void(bool)> then);
    PutPlan draw_put(Session& session, KeyIndex key, bool is_delete);
    void draw_context(PutPlan& plan, Session& session);
    uint32_t draw_quorum(KeyIndex key);
    base::Duration draw_deadline();
    base::Duration draw_ttl();
    KeyIndex draw_key();
    std::string make_value(KeyIndex key);
    bool in_hundred(uint32_t parts) { return random_.below(100) < parts; }

    env::SimScheduler& scheduler_;
    const RunOptions& options_;
    const WorkloadOptions& what_;
    Oracle& oracle_;
    env::SimRandom random_;
    env::SimRandom repeats_;
    Operations* operations_ = nullptr;
    std::vector<KeyState> keys_;
    // The keys after these belong to the lone users, one each.
    size_t shared_keys_ = 0;
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<Session>> lone_sessions_;
    SimTime began_{0};
    bool running_ = false;
    uint64_t serial_ = 0;
};

}  // namespace starling::sim
