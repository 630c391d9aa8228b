#pragma once

// The stage for scripted scenarios: a small cluster without chance in it, whose clients do one
// thing at a time through chosen nodes. What the oracle knows about runs holds here too: each
// answer is checked, and finish() demands rest, equal replicas and every acknowledged write.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/sim/simulation.h"

namespace starling::sim {

class Scenario : public ::testing::Test {
  protected:
    using Values = std::vector<std::string>;

    static RunOptions plain(uint32_t nodes, uint32_t nodes_at_start);

    // The first calls of a test.
    void form(const RunOptions& options);
    void form(uint32_t nodes) { form(plain(nodes, nodes)); }
    // Faults end, the cluster comes to rest, all is read back; expects no violation.
    void finish();

    struct PutAs {
        Replaces replaces = Replaces::acknowledged;
        SeenToken context = {};
        bool is_delete = false;
        uint32_t w = 2;
        base::Duration deadline = std::chrono::seconds(2);
        // Of a session: what it has seen of the key.
        std::optional<SessionSeen> session = std::nullopt;
        // Zero: it does not expire.
        base::Duration ttl = base::Duration::zero();
    };
    PutOutcome put(uint32_t node, const std::string& value, PutAs as);
    PutOutcome put(uint32_t node, const std::string& value) { return put(node, value, PutAs()); }
    PutOutcome remove(uint32_t node, PutAs as);
    PutOutcome remove(uint32_t node) { return remove(node, PutAs()); }
    ReadOutcome read(uint32_t node, uint32_t r, std::optional<SessionSeen> session);
    ReadOutcome read(uint32_t node, uint32_t r) { return read(node, r, std::nullopt); }
    ReadOutcome read(uint32_t node) { return read(node, 2); }
    // Sent, not waited for.
    void begin_put(uint32_t node, const std::string& value, PutAs as);

    void run_for(base::Duration span) { simulation_->run_for(span); }
    Machine& machine(uint32_t number) { return simulation_->cluster().machine(number); }
    void crash(uint32_t number, env::CrashMode mode, base::Duration down_for);
    // It comes back with an empty disk, a second later.
    void wipe(uint32_t number);
    // Both directions.
    void cut(uint32_t a, uint32_t b);
    void heal() { simulation_->network().heal(); }
    void isolate(uint32_t number);
    // By seat of the only partition, as node 1 sees them.
    std::vector<uint32_t> holders();
    uint32_t seats_held_by(uint32_t number);
    uint64_t hints_kept_by(uint32_t number);
    node::StatusReport status_of(uint32_t number);
    std::map<std::string, double> metrics_of(uint32_t number) { return status_of(number).metrics; }
    void wait_until(const std::function<bool()>& condition);
    // Of the next operations; the first one until another is chosen.
    KeyIndex key() const { return Oracle::nth_key(key_number_); }
    void use_key(size_t number) { key_number_ = number; }

    std::unique_ptr<Simulation> simulation_;

  private:
    size_t key_number_ = 0;
};

}  // namespace starling::sim
