#include "node/replica/dot_index.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"

#include "base/mark.h"
#include "node/replica/group_reader.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

struct DotIndex::Pass {
    GroupId group;
    Frontier gone;
    std::function<bool()> is_wanted;
    absl::AnyInvocable<void(absl::Status)> done;
    // Where the next page starts: a dot that was kept, or none.
    std::optional<Dot> after;
};

bool DotIndex::are_few(const Ranges& ranges) {
    uint64_t count = 0;
    for (const Frontier::Range& range : ranges) {
        const uint64_t more = range.last - range.first + 1;
        if (more > removals_per_batch || count + more > removals_per_batch) return false;
        count += more;
    }
    return true;
}

void DotIndex::remove(storage::WriteBatch& batch, GroupId group, const Ranges& ranges) {
    for (const Frontier::Range& range : ranges) {
        for (uint64_t sequence = range.first; sequence <= range.last; ++sequence) {
            batch.remove(storage_keys::indexed_dot(group, {range.actor, sequence}));
        }
    }
}

void DotIndex::remove_past(GroupId group,
                           Frontier gone,
                           std::function<bool()> is_wanted,
                           absl::AnyInvocable<void(absl::Status)> done) {
    auto pass = std::make_shared<Pass>();
    pass->group = group;
    pass->gone = std::move(gone);
    pass->is_wanted = std::move(is_wanted);
    pass->done = std::move(done);
    next_page(std::move(pass));
}

void DotIndex::next_page(std::shared_ptr<Pass> pass) {
    using Page = absl::StatusOr<std::vector<Dot>>;
    Pass& state = *pass;
    jobs_.run<Page>(
        [this, &state] {
            return group_reader::indexed_dots_past(
                engine_, state.group, state.gone, state.after, removals_per_batch);
        },
        [this, pass = std::move(pass)](const Page& page) mutable {
            if (!page.ok()) {
                pass->done(page.status());
            } else if (!pass->is_wanted()) {
                pass->done(absl::CancelledError("the data of the group is being removed here"));
            } else if (page->empty()) {
                pass->done(absl::OkStatus());
            } else {
                STARLING_MARK(dot_index_read_to_remove);
                storage::WriteBatch batch;
                for (const Dot& dot : *page)
                    batch.remove(storage_keys::indexed_dot(pass->group, dot));
                pass->after = page->back();
                if (absl::Status status = commits_.apply(batch); !status.ok()) {
                    STARLING_MARK(dot_index_removal_refused);
                    pass->done(std::move(status));
                } else {
                    next_page(std::move(pass));
                }
            }
        });
}

}  // namespace starling::node
