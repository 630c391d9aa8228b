#include "node/version/collection.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "node/version/expiry.h"
#include "node/version/last_write.h"

namespace starling::node {

namespace {

bool all_seen(const Record& record, const Frontier& stable) {
    return std::all_of(record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
        return stable.is_past(sibling.dot);
    });
}

}  // namespace

bool strip_context(Record& record, const Frontier& stable) {
    if (record.siblings.empty() || !all_seen(record, stable)) return false;
    Context needed;
    for (const Sibling& sibling : record.siblings) {
        needed.add({sibling.dot.actor, record.context.sequence_of(sibling.dot.actor)});
    }
    for (const Context::Entry& entry : record.context.entries()) {
        const Dot dot{entry.actor, entry.sequence};
        if (!stable.is_past(dot)) needed.add(dot);
    }
    if (needed == record.context) return false;
    record.context = std::move(needed);
    return true;
}

bool collect_tombstones(Record& record,
                        const Frontier& stable,
                        uint64_t forget_before_ms,
                        bool latest_only) {
    if (!stable.is_past(record.context)) return false;
    // Whose request may come again, and would be a new write if nobody knew it any more.
    const auto takes_a_young_one = [&](const Sibling& tombstone) {
        return latest_only &&
               std::any_of(record.siblings.begin(), record.siblings.end(), [&](const auto& other) {
                   return other.request.created_ms >= forget_before_ms &&
                          is_earlier(other, tombstone);
               });
    };
    // A write that is minted over what is left of it would be earlier than it, and go with it where
    // it is still there.
    const auto may_be_later_than_a_new_one = [&](const Sibling& tombstone) {
        return latest_only && tombstone.time.wall_ms >= forget_before_ms;
    };
    std::vector<Dot> going;
    std::optional<Sibling> latest_collected;
    for (const Sibling& sibling : record.siblings) {
        if (!sibling.is_tombstone || sibling.request.created_ms >= forget_before_ms ||
            hides_another(record, sibling.request) || takes_a_young_one(sibling) ||
            may_be_later_than_a_new_one(sibling)) {
            continue;
        }
        going.push_back(sibling.dot);
        if (!latest_collected.has_value() || is_earlier(*latest_collected, sibling)) {
            latest_collected = sibling;
        }
    }
    std::erase_if(record.siblings, [&](const Sibling& sibling) {
        return std::find(going.begin(), going.end(), sibling.dot) != going.end();
    });
    if (latest_only && latest_collected.has_value()) {
        std::erase_if(record.siblings, [&](const Sibling& sibling) {
            return is_earlier(sibling, *latest_collected);
        });
    }
    return latest_collected.has_value();
}

bool forget_remains(Record& record, const Frontier& stable, uint64_t forget_before_ms) {
    const bool is_young = !record.gone.empty() && record.gone.back().created_ms >= forget_before_ms;
    if (record == Record{} || !record.siblings.empty() || is_young ||
        !stable.is_past(record.context)) {
        return false;
    }
    record = {};
    return true;
}

}  // namespace starling::node
