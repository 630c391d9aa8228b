#include "tests/sim/merge_laws.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/hash.h"
#include "node/version/expiry.h"

namespace starling::sim {

namespace {

constexpr size_t bytes_kept_max = 16;

node::Record joined(const Join& join, const node::Record& a, const node::Record& b) {
    node::Record both = a;
    join(both, b);
    return both;
}

bool same(const node::Record& a, const node::Record& b) {
    return a.context == b.context && a.siblings == b.siblings;
}

bool holds_dot(const node::Record& record, const node::Dot& dot) {
    return std::ranges::any_of(record.siblings,
                               [&](const node::Sibling& sibling) { return sibling.dot == dot; });
}

// A sibling of `from` may be missing from `result` only where `other` has seen it go, or where its
// request lives on under another dot.
bool may_be_missing(const node::Sibling& sibling,
                    const node::Record& from,
                    const node::Record& other,
                    const node::Record& result) {
    return other.context.covers(sibling.dot) || from.is_gone(sibling.request) ||
           other.is_gone(sibling.request) || result.find(sibling.request) != nullptr;
}

std::string vanished(const node::Record& from,
                     const node::Record& other,
                     const node::Record& result) {
    for (const node::Sibling& sibling : from.siblings) {
        if (!holds_dot(result, sibling.dot) && !may_be_missing(sibling, from, other, result)) {
            return fmt::format("a merge drops {}, which nothing supersedes",
                               node::to_string(sibling.dot));
        }
    }
    return "";
}

std::string broken_by_pair(const node::Record& a, const node::Record& b, const Join& join) {
    const node::Record ab = joined(join, a, b);
    if (!same(ab, joined(join, b, a))) return "merge is not commutative";
    if (!same(ab, joined(join, ab, b))) return "merge is not idempotent: what was merged changes";
    if (std::string what = vanished(a, b, ab); !what.empty()) return what;
    return vanished(b, a, ab);
}

bool is_associative(const node::Record& a,
                    const node::Record& b,
                    const node::Record& c,
                    const Join& join) {
    return same(joined(join, joined(join, a, b), c), joined(join, a, joined(join, b, c)));
}

}  // namespace

std::string broken_merge_law(std::span<const node::Record> records, const Join& join) {
    for (const node::Record& a : records) {
        if (!same(a, joined(join, a, a))) return "merge is not idempotent";
        for (const node::Record& b : records) {
            if (std::string what = broken_by_pair(a, b, join); !what.empty()) return what;
            for (const node::Record& c : records) {
                if (!is_associative(a, b, c, join)) return "merge is not associative";
            }
        }
    }
    return "";
}

node::Record without_forgotten_removals(node::Record record, uint64_t forgotten_before_ms) {
    std::erase_if(record.siblings, [&](const node::Sibling& sibling) {
        return node::is_removal(sibling) && sibling.request.created_ms < forgotten_before_ms;
    });
    return record;
}

node::Record without_bulk(node::Record record) {
    for (node::Sibling& sibling : record.siblings) {
        if (sibling.value.size() > bytes_kept_max) {
            sibling.value = fmt::format("{:016x}", base::xxh3_64(sibling.value));
        }
    }
    return record;
}

}  // namespace starling::sim
