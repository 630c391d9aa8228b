#include "tests/sim/importer.h"

#include <utility>

#include <fmt/format.h>

#include "ring/placement.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel import_label("client.import");

// A client that waits for this many answers begins nothing else.
constexpr uint64_t waiting_max = 64;

}  // namespace

Importer::Importer(World world, const node::NamespaceInfo& name_space)
    : world_(world), random_(world.random.fork("importer")) {
    for (uint32_t i = 0; i < world_.options.workload.imported_keys; ++i) {
        const std::string key = fmt::format("import/{}", i);
        entries_.push_back(
            {.key = world_.oracle.add_key(
                 {.name_space = name_space.name,
                  .key = key,
                  .partition = ring::partition_of(key, world_.options.node.partition_count),
                  .replicas = name_space.replicas})});
    }
}

Importer::~Importer() {
    world_.scheduler.drop_context(this);
}

void Importer::begin(Operations& operations) {
    operations_ = &operations;
    running_ = true;
    if (!entries_.empty()) run(Stage::import);
}

template <typename Function>
void Importer::after(base::Duration delay, Function function) {
    world_.scheduler.schedule_after(delay,
                                    {.owner = env::no_owner,
                                     .context = this,
                                     .label = &import_label,
                                     .task = std::move(function)});
}

Importer::Stage Importer::stage_after(Stage stage) {
    if (stage != Stage::verify) {
        is_stored_ = stage == Stage::import;
        return Stage::verify;
    }
    if (random_.below(2) == 0) return Stage::verify;
    return is_stored_ ? Stage::remove : Stage::import;
}

void Importer::run(Stage stage) {
    after(random_.between(seconds(2), seconds(20)), [this, stage] { go_on(stage, 0); });
}

void Importer::go_on(Stage stage, size_t next) {
    if (!running_) return;
    if (next == entries_.size()) {
        return run(stage_after(stage));
    }
    const bool is_busy = operations_->waiting() >= waiting_max;
    if (!is_busy) {
        Entry& entry = entries_[next];
        stage == Stage::verify ? read(entry) : write(entry, stage == Stage::remove);
    }
    after(random_.exponential(milliseconds(30)),
          [this, stage, next = is_busy ? next : next + 1] { go_on(stage, next); });
}

// At W = 1 now and then, where no disk that alone acknowledged may lose it.
void Importer::write(Entry& entry, bool is_delete) {
    const bool is_lone = random_.below(2) == 0 && !world_.options.faults.may_lose_a_disk();
    PutPlan plan{.key = entry.key,
                 .value = is_delete ? std::string() : fmt::format("imported {}", ++serial_),
                 .is_delete = is_delete,
                 .quorum = is_lone ? 1u : 0u,
                 .tries_max = 3,
                 .session = entry.seen};
    operations_->put(std::move(plan), [&entry](PutOutcome outcome) {
        if (outcome.status.ok()) entry.seen = std::move(outcome.session);
    });
}

void Importer::read(Entry& entry) {
    operations_->read({.key = entry.key, .quorum = 1, .tries_max = 2, .session = entry.seen},
                      [&entry](ReadOutcome outcome) {
                          if (outcome.status.ok()) entry.seen = std::move(outcome.session);
                      });
}

}  // namespace starling::sim
