#include "tests/sim/limit_watch.h"

#include <fmt/format.h>

#include "node/replica/hint_store.h"

namespace starling::sim {

using std::chrono::seconds;

namespace {

const env::EventLabel look_label("sim.limit watch");

constexpr base::Duration look_again_after = seconds(10);

// What an operation takes beside key and value: its state, a context, a session's token.
constexpr uint64_t operation_bytes_max = 32u << 10;

// Only one that is larger than its shard's whole share passes beside the others.
uint64_t request_bytes_max(const WorkloadOptions& workload) {
    return (workload.nasty_values ? (1u << 20) + 1 : 100u) +
           (workload.nasty_keys ? 64u << 10 : 100u) + operation_bytes_max;
}

}  // namespace

LimitWatch::LimitWatch(env::SimScheduler& scheduler,
                       Cluster& cluster,
                       const RunOptions& options,
                       Verdict& verdict)
    : scheduler_(scheduler), cluster_(cluster), options_(options), verdict_(verdict) {}

LimitWatch::~LimitWatch() {
    scheduler_.drop_context(this);
}

void LimitWatch::begin() {
    scheduler_.schedule_after(
        look_again_after,
        {.owner = env::no_owner, .context = this, .label = &look_label, .task = [this] {
             look();
             begin();
         }});
}

void LimitWatch::look() {
    for (const auto& machine : cluster_.machines()) {
        if (!machine->is_up()) continue;
        machine->node().status([this, &asked = *machine](const auto& report) {
            if (report.ok()) check(asked, *report);
        });
    }
}

void LimitWatch::check(const Machine& machine, const node::StatusReport& report) {
    for (const node::MemoryShare& share : report.memory) {
        // What an engine needs for open tables and the batch that fills a memtable comes on top.
        if (share.what == "memtables and block cache") continue;
        // A record of another node's write has all of its siblings.
        const bool is_of_records = share.what != "requests under way";
        if (is_of_records && options_.workload.nasty_values) continue;
        const uint64_t piece = is_of_records ? 64 * request_bytes_max(options_.workload)
                                             : request_bytes_max(options_.workload);
        const bool may_be_larger = piece > share.bytes_max / options_.shards;
        const uint64_t beside = may_be_larger ? options_.shards * piece : 0;
        if (share.bytes_used > share.bytes_max + beside) {
            verdict_.report("I18",
                            fmt::format("{} holds {} bytes of {}, and may hold {}",
                                        machine.name(),
                                        share.bytes_used,
                                        share.what,
                                        share.bytes_max));
        }
    }
    // Only a damaged node hands over.
    const bool may_hand_over = options_.faults.damaged_tables || options_.faults.rotten_tables;
    const uint64_t hints_max =
        options_.node.hint_bytes_max +
        (may_hand_over ? options_.shards * node::HintStore::handed_over_bytes_max : 0);
    if (report.hint_bytes > hints_max) {
        verdict_.report("I18",
                        fmt::format("{} has {} bytes of hints, and may have {}",
                                    machine.name(),
                                    report.hint_bytes,
                                    hints_max));
    }
}

}  // namespace starling::sim
