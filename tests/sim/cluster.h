#pragma once

// All machines of a run, which of them belong to the cluster, and who is to be down or to join
// when. The first machine founds the cluster; each other one starts as a cluster of one and is told
// to join through a member, again and again until it has.

#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/machine.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

class Cluster {
  public:
    struct Counts {
        uint64_t starts = 0;
        uint64_t crashes = 0;
        uint64_t crashes_by_mode[4] = {};
        uint64_t crashes_in_recovery = 0;
        uint64_t joins = 0;
        uint64_t joins_refused = 0;
        uint64_t starts_refused = 0;
        uint64_t starts_on_damaged_logs = 0;
        uint64_t rotten_disks_repaired = 0;
        uint64_t starts_with_wrong_configuration = 0;
        uint64_t stops = 0;
        uint64_t stops_failed = 0;
    };

    Cluster(Machine::World world, Verdict& verdict);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // Starts the machine; from then on it is started again after each crash, and joins.
    void bring_up(uint32_t number);
    // Runs after each crash, before the machine starts again.
    void on_death(std::function<void(Machine&)> listener) { death_listener_ = std::move(listener); }
    // Now. It starts again after `down_for`.
    void crash(Machine& machine, env::CrashMode mode, base::Duration down_for);
    // In order, as by an operator: it gives up or ends what is under way, closes, and ends. It
    // starts again after `down_for`.
    void stop(Machine& machine, base::Duration down_for);
    // Crashes, and starts with an empty disk: as another node, which joins anew.
    void wipe(Machine& machine, base::Duration down_for);
    // What is down starts at once.
    void bring_all_back();
    // At the n-th operation on files from now.
    void crash_at_io(Machine& machine, uint64_t n, env::CrashMode mode, base::Duration down_for);
    // With this probability a start is followed by a crash at one of its operations on files.
    void set_recovery_crashes(uint32_t per_million) { recovery_crashes_per_million_ = per_million; }

    // With this probability a start is tried on a damaged log first, and must be refused.
    void set_damaged_logs(uint32_t per_million) { damaged_logs_per_million_ = per_million; }
    // With this probability a start is tried with the configuration of another cluster first, and
    // must be refused.
    void set_wrong_configurations(uint32_t per_million) {
        wrong_configurations_per_million_ = per_million;
    }
    // Flips a bit of a log where a start must notice, starts the machine, and flips it back.
    // What the start said; none when no log has such a place.
    std::optional<absl::Status> start_on_damaged_log(Machine& machine);

    size_t size() const { return machines_.size(); }
    Machine& machine(uint32_t number) { return *machines_[number - 1]; }
    const std::vector<std::unique_ptr<Machine>>& machines() const { return machines_; }

    // Up, and of the founder's cluster as its node says.
    bool is_member(Machine& machine) const;
    // Clients may ask it: it has been a member.
    bool is_known(const Machine& machine) const { return states_[machine.number() - 1].was_member; }
    std::vector<Machine*> members() const;
    // Of those who are up; valid until they run.
    std::vector<const node::Frontier*> owned_frontiers(node::GroupId group) const;
    // The latest time (Unix ms) that any machine's clock has shown.
    uint64_t latest_clock_ms() const;
    // Of any machine, now or before: Machine::has_lost_data().
    bool has_lost_data() const;
    bool is_seen_by_all_owners(node::GroupId group, const node::Dot& dot) const;
    uint32_t up_count() const;
    // All machines that were brought up are up and members.
    bool is_complete() const;

    const Counts& counts() const { return counts_; }

  private:
    struct State {
        bool wanted = false;
        bool was_member = false;
        // Of the latest join asked for; an older answer is ignored.
        uint64_t join_attempt = 0;
        base::Duration down_for{0};
        // Of an orderly stop that is under way, the longest that was asked for.
        base::Duration stops_for{0};
        // Of the latest start that was planned; an earlier one does not take place.
        uint64_t start_attempt = 0;
    };

    State& state(const Machine& machine) { return states_[machine.number() - 1]; }
    void start(Machine& machine);
    // False when a start that must be refused was not.
    bool try_wrong_starts(Machine& machine);
    absl::Status start_with_wrong_configuration(Machine& machine);
    void start_later(Machine& machine, base::Duration delay);
    // A node that has stopped.
    void exit(Machine& machine, base::Duration down_for);
    void died(Machine& machine);
    void ask_to_join(Machine& machine);
    void join_later(Machine& machine);
    Machine* pick_member(const Machine& other_than);

    const Machine::World world_;
    Verdict& verdict_;
    env::SimRandom random_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::vector<State> states_;
    base::ClusterId cluster_;
    uint32_t recovery_crashes_per_million_ = 0;
    uint32_t damaged_logs_per_million_ = 0;
    uint32_t wrong_configurations_per_million_ = 0;
    std::function<void(Machine&)> death_listener_;
    Counts counts_;
};

}  // namespace starling::sim
