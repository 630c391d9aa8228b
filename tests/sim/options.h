#pragma once

// What one run is made of. Everything follows from the seed: which faults are on and how bad they
// are, how small the limits, what the clients do. Each run draws *which* faults it has, because
// with all of them at once the bugs that need a quiet disk or a working network stay hidden.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "env/sim/network.h"
#include "node/server/options.h"

namespace starling::sim {

struct FaultOptions {
    // Faults 1-4, 9, 10 of every link, all the time or in spells.
    env::SimLinkFaults weather;
    bool weather_comes_and_goes = false;

    // Episodes, each begun and ended by the run's fault schedule.
    bool partitions = false;           // 5: halves, one node, at random
    bool one_way_partitions = false;   // 6
    bool bridges = false;              // 7: two sides that both reach one node
    bool clogs = false;                // 8
    bool swizzles = false;             // 8: clog nodes one by one, free them in another order
    bool resets = false;               // 9
    bool half_open = false;            // 9: connections that lose all, and nobody is told
    bool clock_jumps = false;          // 12
    bool clock_strobes = false;        // 12
    bool pauses = false;               // 15
    bool long_pauses = false;          // 15: for minutes
    bool crashes = false;              // 16: between events
    bool crashes_at_io = false;        // 16: before the n-th operation on files
    bool crashes_in_recovery = false;  // 17
    bool crashes_of_all = false;       // 18
    bool slow_disks = false;           // 21
    bool slow_syncs = false;           // 21: these alone
    bool full_disks = false;           // 22
    bool failing_io = false;           // 23: some operations of one kind fail
    bool failing_syncs = false;        // 24
    bool damaged_logs = false;         // 25: in one start, then right again
    bool damaged_tables = false;       // 25: while the node runs, then right again
    bool rotten_tables = false;        // 25: for good
    bool set_back_disks = false;       // 29: to what they were a while before
    bool may_lose_a_disk() const { return rotten_tables || set_back_disks; }
    bool stops = false;                 // 19: in order, as for an upgrade
    bool wrong_configurations = false;  // 19: N or Q of another cluster, refused
    bool absences = false;              // 30: longer than all windows

    // From the start of the run; the drift goes on to its end.
    int32_t drift_per_million_max = 0;     // 13
    uint32_t late_timers_per_million = 0;  // 14
    base::Duration timer_lateness_max{0};  // 14

    // Between the beginnings of two episodes, and their length, on average.
    base::Duration gap_mean = std::chrono::seconds(10);
    base::Duration length_mean = std::chrono::seconds(4);
    uint32_t episodes_at_once = 2;

    bool any() const;
    // More than clocks that jump or strobe: a node may not hear the others.
    bool any_but_clocks() const;
    // Beyond every bound, in the end.
    bool clocks_go_wrong() const {
        return clock_jumps || clock_strobes || drift_per_million_max != 0;
    }
};

bool is_bad(const env::SimLinkFaults& weather);

// A class of faults that come and go, or come with starts: its name is that of its Fault.
struct FaultClass {
    std::string_view name;
    bool FaultOptions::* is_on;
    // What takes nodes down, where this comes with starts only.
    bool FaultOptions::* needs = nullptr;
};
std::span<const FaultClass> fault_classes();

// What clients do, in parts of 100 where not said otherwise.
struct WorkloadOptions {
    uint32_t clients = 4;
    uint32_t keys = 10;
    // Of the operations: the rest are reads.
    uint32_t puts = 40;
    uint32_t deletes = 8;
    uint32_t read_modify_writes = 10;
    // Several clients write one key at one moment.
    uint32_t races = 3;
    // Of the puts and deletes: the rest have a context that is as fresh as the client's last read.
    uint32_t without_context = 35;
    uint32_t blind = 8;
    // Of those to `last`, before any of the others is drawn.
    uint32_t blind_last = 0;
    uint32_t empty_context = 8;
    uint32_t stale_context = 10;
    uint32_t own_context = 8;
    // Of the puts: their values expire.
    uint32_t expiring = 0;
    // Of all operations: refused ones (forged or mixed context, empty key, R or W above N, ...).
    uint32_t invalid = 3;
    // Of the puts: tried again through another node though nothing was wrong.
    uint32_t needless_retries = 10;
    // Of the puts: sent once more seconds after their end, whatever has become of the value since.
    uint32_t sent_again = 0;
    // Of the operations.
    uint32_t short_deadlines = 20;
    uint32_t own_quorums = 40;
    uint32_t strict_quorums = 10;
    bool nasty_keys = false;
    bool nasty_values = false;
    // A second namespace with this N; 0: none.
    uint32_t second_namespace_replicas = 0;
    // Two more namespaces, `last` and `strict`: of last_write_wins and of reject_stale.
    bool policy_namespaces = false;
    // Their N, where there are so many seats.
    uint32_t policy_replicas = 3;
    // Clients that save documents of `strict` over what they have read, the time between their
    // steps, and how many documents they share.
    uint32_t editors = 0;
    uint32_t documents = 0;
    base::Duration thought_mean = std::chrono::seconds(1);
    // Keys that one client writes, reads and deletes all at once; 0: there is no such client.
    uint32_t imported_keys = 0;
    uint32_t lone_users = 1;
    // Clients that read with R = 1 and their session's token.
    uint32_t session_users = 2;
    // The link between clients and nodes.
    base::Duration link_delay_mean = std::chrono::milliseconds(1);
    uint32_t link_loss_per_million = 0;
    uint32_t link_duplicates_per_million = 0;
    // Checked operations per simulated second to aim at; the pace follows what succeeds.
    uint32_t checked_per_second = 14;
};

struct RunOptions {
    uint64_t seed = 0;
    uint32_t nodes = 3;
    // Nodes of the cluster before clients begin; the others join at any moment.
    uint32_t nodes_at_start = 3;
    uint32_t shards = 1;
    // Each machine is in one of so many, by chance; 0: nobody says where it is.
    uint32_t zones = 0;
    base::Duration duration = std::chrono::minutes(5);
    // From the end of all faults to equal replicas.
    base::Duration convergence_max = std::chrono::minutes(5);
    // After the faults a random part of the cluster works on alone, before the rest comes back.
    bool core_phase = false;
    // One acknowledgement in so many, on average, is looked at on the disks. Opening one costs as
    // much as some hundred events.
    uint32_t audit_interval = 64;
    // Each machine that dies has its disk looked at.
    bool audit_deaths = true;
    base::Duration worker_delay_mean = std::chrono::microseconds(200);

    node::NodeOptions node;
    FaultOptions faults;
    WorkloadOptions workload;

    // Each node hears another one all the time.
    bool all_are_in_touch() const {
        return nodes >= 2 && nodes_at_start == nodes && !faults.any_but_clocks();
    }
    base::Duration long_pause_max() const {
        return std::min<base::Duration>(duration, std::chrono::minutes(10));
    }
};

struct Asked {
    uint64_t seed = 0;
    std::optional<uint32_t> nodes;
    base::Duration duration = std::chrono::minutes(5);
};

RunOptions draw_options(const Asked& asked);

// Of a minute in which three nodes work and nothing goes wrong. What befalls disks soon finds
// tables, and is soon noticed.
RunOptions calm_options(uint64_t seed);
// As that, but this class of faults is on, with what it needs.
RunOptions only_fault(const FaultClass& fault_class, uint64_t seed);

// One line per group, for people.
std::string to_string(const RunOptions& options);

}  // namespace starling::sim
