#include "tests/sim/session_promise.h"

#include <algorithm>

#include <fmt/format.h>

namespace starling::sim {

namespace {

constexpr size_t remembered_max = 16;

bool contains(const std::vector<WriteId>& ids, WriteId id) {
    return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

void SessionSeen::add(WriteId id) {
    if (contains(writes, id)) return;
    writes.push_back(id);
    if (writes.size() > remembered_max) writes.erase(writes.begin());
}

std::string older_than_session(const History& history,
                               const std::vector<WriteId>& seen,
                               const std::vector<WriteId>& present,
                               uint64_t expired_by_ms) {
    for (const WriteId id : seen) {
        const Write& write = history.get(id);
        if (!write.is_delete && !contains(present, id) &&
            !history.absence_explained(id, present, expired_by_ms)) {
            return fmt::format("the session had seen {}, which is not there", history.describe(id));
        }
    }
    for (const WriteId id : present) {
        const WriteId replaced_by =
            history.find_superseder(id, [&](WriteId upper) { return contains(seen, upper); });
        if (!replaced_by.is_none()) {
            return fmt::format("{} was returned, and the session had seen what replaced it: {}",
                               history.describe(id),
                               history.describe(replaced_by));
        }
    }
    return "";
}

}  // namespace starling::sim
