#include "node/replica/conflict_counter.h"

#include <algorithm>

namespace starling::node {

void ConflictCounter::written(base::NamespaceId name_space, const Record& after) {
    const auto live =
        std::count_if(after.siblings.begin(), after.siblings.end(), [&](const Sibling& sibling) {
            return !sibling.is_tombstone && !after.is_hidden(sibling);
        });
    if (live > 1) {
        ++counts_[name_space];
    }
}

}  // namespace starling::node
