#include "tests/sim/editors.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "ring/placement.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel think_label("client.think");

}  // namespace

Editors::Editors(World world, const std::vector<node::NamespaceInfo>& name_spaces)
    : world_(world), random_(world.random.fork("editors")) {
    const auto strict = std::ranges::find(
        name_spaces, node::ConflictPolicy::reject_stale, &node::NamespaceInfo::policy);
    const WorkloadOptions& what = world_.options.workload;
    if (strict == name_spaces.end() || what.documents == 0) return;
    std::vector<KeyIndex> documents;
    for (uint32_t i = 0; i < what.documents; ++i) {
        const std::string key = fmt::format("document/{}", i);
        documents.push_back(world_.oracle.add_key(
            {.name_space = strict->name,
             .key = key,
             .partition = ring::partition_of(key, world_.options.node.partition_count),
             .replicas = strict->replicas,
             .policy = strict->policy}));
    }
    for (uint32_t i = 0; i < what.editors; ++i)
        editors_.push_back({.document = documents[i % documents.size()]});
}

Editors::~Editors() {
    world_.scheduler.drop_context(this);
}

void Editors::begin(Operations& operations) {
    operations_ = &operations;
    running_ = true;
    for (Editor& editor : editors_)
        think(editor);
}

void Editors::think(Editor& editor) {
    const base::Duration gap = random_.exponential(world_.options.workload.thought_mean);
    world_.scheduler.schedule_after(
        gap,
        {.owner = env::no_owner, .context = this, .label = &think_label, .task = [this, &editor] {
             if (!running_) return;
             editor.open ? save(editor) : open(editor);
         }});
}

// With R = 1 now and then, as who trusts that a stale save is refused.
void Editors::open(Editor& editor) {
    operations_->read({.key = editor.document,
                       .quorum = in_hundred(30) ? 1u : 0u,
                       .deadline = random_.between(milliseconds(300), seconds(3)),
                       .tries_max = 2},
                      [this, &editor](ReadOutcome outcome) {
                          if (outcome.status.ok()) editor.open = std::move(outcome.context);
                          think(editor);
                      });
}

// With W = 1 now and then, where no disk that alone acknowledged may lose it.
void Editors::save(Editor& editor) {
    const bool is_delete = in_hundred(5);
    const bool is_lone = in_hundred(50) && !world_.options.faults.may_lose_a_disk();
    PutPlan plan{.key = editor.document,
                 .value = is_delete ? std::string() : fmt::format("document text {}", ++serial_),
                 .is_delete = is_delete,
                 .replaces = Replaces::seen,
                 .context = *editor.open,
                 .quorum = is_lone ? 1u : 0u,
                 .deadline = random_.between(milliseconds(300), seconds(3)),
                 .tries_max = 2};
    operations_->put(std::move(plan), [this, &editor](PutOutcome outcome) {
        saved(editor, std::move(outcome));
        think(editor);
    });
}

void Editors::saved(Editor& editor, PutOutcome outcome) {
    if (outcome.status.ok() && in_hundred(50)) {
        editor.open = std::move(outcome.context);
        return;
    }
    // Some keep what they have open although another has saved.
    const bool is_stale = base::reason_of(outcome.status) == base::reason::stale_context;
    const bool keeps = !outcome.status.ok() && in_hundred(is_stale ? 30 : 70);
    if (!keeps) editor.open.reset();
}

}  // namespace starling::sim
