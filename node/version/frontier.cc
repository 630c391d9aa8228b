#include "node/version/frontier.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::node {

namespace {

using Seen = Frontier::Seen;
using Bounds = std::pair<uint64_t, uint64_t>;

// The parts of `wanted` that `seen` has not.
void append_missing(std::vector<Frontier::Range>& out, const Seen& seen, Bounds wanted) {
    const auto& [first, last] = wanted;
    if (last <= seen.base) return;
    uint64_t next = std::max(first, seen.base + 1);
    for (const auto& [from, to] : seen.above) {
        if (from > last) break;
        if (from > next) out.push_back({seen.actor, next, from - 1});
        if (to >= last) return;
        next = std::max(next, to + 1);
    }
    out.push_back({seen.actor, next, last});
}

// An actor, its base, and the count of ranges; then at least one byte for each bound of a range.
constexpr size_t encoded_seen_bytes_min = encoded_actor_bytes + 2;
constexpr size_t encoded_range_bytes_min = 2;
// A node, and at least one byte of a start.
constexpr size_t encoded_sealed_bytes_min = 9;

// `first` is at most one beyond `last`, so that a range up to `last` and one from `first` are one
// range.
bool touches(uint64_t last, uint64_t first) {
    return first <= last || first - last == 1;
}

// The last range that starts at or below the sequence; end() when there is none.
template <typename Ranges>
auto range_at(Ranges& above, uint64_t sequence) {
    const auto next = std::upper_bound(
        above.begin(), above.end(), sequence, [](uint64_t value, const Bounds& range) {
            return value < range.first;
        });
    return next == above.begin() ? above.end() : next - 1;
}

bool contains_range(const Seen& seen, Bounds wanted) {
    if (wanted.second <= seen.base) return true;
    // A range never touches the base or its neighbour, so what straddles two of them has a gap
    // inside.
    const uint64_t first = std::max(wanted.first, seen.base + 1);
    const auto range = range_at(seen.above, first);
    return range != seen.above.end() && wanted.second <= range->second;
}

bool contains_all(const Seen& seen, const Seen& wanted) {
    if (wanted.base > 0 && !contains_range(seen, {1, wanted.base})) return false;
    return std::all_of(wanted.above.begin(), wanted.above.end(), [&](const Bounds& range) {
        return contains_range(seen, range);
    });
}

// Lets the base swallow the ranges that it touches.
void raise_base(Seen& seen) {
    auto range = seen.above.begin();
    for (; range != seen.above.end() && touches(seen.base, range->first); ++range) {
        seen.base = std::max(seen.base, range->second);
    }
    seen.above.erase(seen.above.begin(), range);
}

void append_range(std::vector<Bounds>& ranges, Bounds next) {
    if (!ranges.empty() && touches(ranges.back().second, next.first)) {
        ranges.back().second = std::max(ranges.back().second, next.second);
    } else {
        ranges.push_back(next);
    }
}

Seen unite_seen(const Seen& a, const Seen& b) {
    Seen united{a.actor, std::max(a.base, b.base), {}};
    std::vector<Bounds> all;
    all.reserve(a.above.size() + b.above.size());
    std::merge(
        a.above.begin(), a.above.end(), b.above.begin(), b.above.end(), std::back_inserter(all));
    for (const Bounds& range : all)
        append_range(united.above, range);
    raise_base(united);
    return united;
}

bool add_sequence(Seen& seen, uint64_t sequence) {
    if (contains_range(seen, {sequence, sequence})) return false;
    const auto before = range_at(seen.above, sequence);
    const auto after = before == seen.above.end() ? seen.above.begin() : before + 1;
    const bool joins_before = before != seen.above.end() && touches(before->second, sequence);
    const bool joins_after = after != seen.above.end() && touches(sequence, after->first);
    if (joins_before && joins_after) {
        before->second = after->second;
        seen.above.erase(after);
    } else if (joins_before) {
        before->second = sequence;
    } else if (joins_after) {
        after->first = sequence;
    } else {
        seen.above.insert(after, {sequence, sequence});
    }
    raise_base(seen);
    return true;
}

uint64_t gaps_of(const Seen& seen) {
    uint64_t gaps = 0;
    uint64_t last = seen.base;
    for (const Bounds& range : seen.above) {
        gaps += range.first - last - 1;
        last = range.second;
    }
    return gaps;
}

bool node_before(const std::pair<base::NodeId, uint32_t>& sealed, base::NodeId node) {
    return sealed.first < node;
}

bool actor_before(const Seen& seen, const Actor& actor) {
    return seen.actor < actor;
}

// Bounds travel as distances from the bound before, so that every encodable list is an ordered one.
void decode_ranges(base::Reader& in, Seen& seen) {
    const size_t count = in.count(encoded_range_bytes_min);
    seen.above.reserve(count);
    uint64_t last = seen.base;
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const uint64_t gap = in.varint();
        const uint64_t length = in.varint();
        const uint64_t room = UINT64_MAX - last;
        if (gap < 2 || gap > room || length > room - gap) return in.fail();
        seen.above.emplace_back(last + gap, last + gap + length);
        last = seen.above.back().second;
    }
}

std::vector<std::pair<base::NodeId, uint32_t>> decode_sealed(base::Reader& in) {
    std::vector<std::pair<base::NodeId, uint32_t>> sealed;
    const size_t count = in.count(encoded_sealed_bytes_min);
    sealed.reserve(count);
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const base::NodeId node(in.u64());
        const uint64_t start = in.varint();
        if (start == 0 || start > UINT32_MAX) in.fail();
        if (i > 0 && !(sealed.back().first < node)) in.fail();
        sealed.emplace_back(node, static_cast<uint32_t>(start));
    }
    return sealed;
}

}  // namespace

const Seen* Frontier::find(const Actor& actor) const {
    const auto at = std::lower_bound(seen_.begin(), seen_.end(), actor, actor_before);
    return at != seen_.end() && at->actor == actor ? &*at : nullptr;
}

uint32_t Frontier::sealed_before(base::NodeId node) const {
    const auto at = std::lower_bound(sealed_.begin(), sealed_.end(), node, node_before);
    return at != sealed_.end() && at->first == node ? at->second : 0;
}

bool Frontier::contains(const Dot& dot) const {
    if (dot.actor.start < sealed_before(dot.actor.node)) return true;
    const Seen* seen = find(dot.actor);
    return seen != nullptr && contains_range(*seen, {dot.sequence, dot.sequence});
}

bool Frontier::contains(const Frontier& other) const {
    for (const auto& [node, start] : other.sealed_) {
        if (sealed_before(node) < start) return false;
    }
    return contains_unsealed(other);
}

bool Frontier::contains_unsealed(const Frontier& other) const {
    return std::all_of(other.seen_.begin(), other.seen_.end(), [&](const Seen& wanted) {
        if (wanted.actor.start < sealed_before(wanted.actor.node)) return true;
        const Seen* mine = find(wanted.actor);
        return mine != nullptr && contains_all(*mine, wanted);
    });
}

bool Frontier::is_past(const Dot& dot) const {
    if (dot.actor.start < sealed_before(dot.actor.node)) return true;
    const Seen* seen = find(dot.actor);
    return seen != nullptr && dot.sequence <= seen->base;
}

bool Frontier::is_past(const Context& context) const {
    return std::all_of(
        context.entries().begin(), context.entries().end(), [&](const Context::Entry& entry) {
            return is_past(Dot{entry.actor, entry.sequence});
        });
}

bool Frontier::add(const Dot& dot) {
    STARLING_CHECK(dot.sequence > 0);
    if (dot.actor.start < sealed_before(dot.actor.node)) return false;
    auto at = std::lower_bound(seen_.begin(), seen_.end(), dot.actor, actor_before);
    if (at == seen_.end() || at->actor != dot.actor) {
        at = seen_.insert(at, Seen{dot.actor, 0, {}});
    }
    return add_sequence(*at, dot.sequence);
}

void Frontier::unite(const Frontier& other) {
    std::vector<Seen> united;
    united.reserve(std::max(seen_.size(), other.seen_.size()));
    auto mine = seen_.begin();
    auto theirs = other.seen_.begin();
    while (mine != seen_.end() || theirs != other.seen_.end()) {
        if (theirs == other.seen_.end() || (mine != seen_.end() && mine->actor < theirs->actor)) {
            united.push_back(std::move(*mine++));
        } else if (mine == seen_.end() || theirs->actor < mine->actor) {
            united.push_back(*theirs++);
        } else {
            united.push_back(unite_seen(*mine++, *theirs++));
        }
    }
    seen_ = std::move(united);
    const auto mine_sealed = sealed_;
    for (const auto& [node, start] : other.sealed_)
        seal(node, start);
    for (const auto& [node, start] : mine_sealed)
        seal(node, start);
}

std::vector<Frontier::Range> Frontier::minus(const Frontier& other) const {
    std::vector<Range> missing;
    for (const Seen& mine : seen_) {
        if (mine.actor.start < other.sealed_before(mine.actor.node)) continue;
        const Seen theirs = other.seen_of(mine.actor);
        if (mine.base > 0) append_missing(missing, theirs, {1, mine.base});
        for (const auto& range : mine.above)
            append_missing(missing, theirs, range);
    }
    return missing;
}

void Frontier::intersect_bases(const Frontier& other) {
    Frontier common;
    const auto add_base = [&](const Actor& actor) {
        const Frontier* both[] = {this, &other};
        uint64_t base = UINT64_MAX;
        for (const Frontier* frontier : both) {
            if (actor.start < frontier->sealed_before(actor.node)) continue;
            const Seen* seen = frontier->find(actor);
            base = std::min(base, seen == nullptr ? 0 : seen->base);
        }
        if (base > 0) common.seen_.push_back(Seen{actor, base, {}});
    };
    for (const auto& [node, start] : sealed_) {
        const uint32_t both = std::min(start, other.sealed_before(node));
        if (both > 0) common.sealed_.emplace_back(node, both);
    }
    auto mine = seen_.begin();
    auto theirs = other.seen_.begin();
    while (mine != seen_.end() || theirs != other.seen_.end()) {
        if (theirs == other.seen_.end() || (mine != seen_.end() && mine->actor < theirs->actor)) {
            add_base((mine++)->actor);
        } else if (mine == seen_.end() || theirs->actor < mine->actor) {
            add_base((theirs++)->actor);
        } else {
            add_base((mine++)->actor);
            ++theirs;
        }
    }
    *this = std::move(common);
}

void Frontier::seal(base::NodeId node, uint32_t start) {
    auto at = std::lower_bound(sealed_.begin(), sealed_.end(), node, node_before);
    if (at == sealed_.end() || at->first != node) {
        if (start == 0) return;
        at = sealed_.insert(at, {node, start});
    }
    at->second = std::max(at->second, start);
    std::erase_if(seen_, [&](const Seen& seen) {
        return seen.actor.node == node && seen.actor.start < at->second;
    });
}

Seen Frontier::seen_of(const Actor& actor) const {
    const Seen* seen = find(actor);
    return seen == nullptr ? Seen{actor, 0, {}} : *seen;
}

std::vector<Seen> Frontier::seen_before(base::NodeId node, uint32_t start) const {
    std::vector<Seen> part;
    std::copy_if(seen_.begin(), seen_.end(), std::back_inserter(part), [&](const Seen& seen) {
        return seen.actor.node == node && seen.actor.start < start;
    });
    return part;
}

Frontier Frontier::written_by(base::NodeId node) const {
    Frontier part;
    std::copy_if(seen_.begin(), seen_.end(), std::back_inserter(part.seen_), [&](const Seen& seen) {
        return seen.actor.node == node;
    });
    part.seal(node, sealed_before(node));
    return part;
}

uint64_t Frontier::gap_count() const {
    uint64_t gaps = 0;
    for (const Seen& seen : seen_)
        gaps += gaps_of(seen);
    return gaps;
}

void Frontier::encode(std::string& out) const {
    base::put_varint(out, sealed_.size());
    for (const auto& [node, start] : sealed_) {
        base::put_u64(out, node.raw());
        base::put_varint(out, start);
    }
    base::put_varint(out, seen_.size());
    for (const Seen& seen : seen_) {
        put_actor(out, seen.actor);
        base::put_varint(out, seen.base);
        base::put_varint(out, seen.above.size());
        uint64_t last = seen.base;
        for (const auto& [first_of, last_of] : seen.above) {
            base::put_varint(out, first_of - last);
            base::put_varint(out, last_of - first_of);
            last = last_of;
        }
    }
}

Frontier Frontier::decode(base::Reader& in) {
    Frontier frontier;
    frontier.sealed_ = decode_sealed(in);
    const size_t count = in.count(encoded_seen_bytes_min);
    frontier.seen_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        Seen seen;
        seen.actor = read_actor(in);
        seen.base = in.varint();
        decode_ranges(in, seen);
        if (seen.base == 0 && seen.above.empty()) in.fail();
        if (seen.actor.start < frontier.sealed_before(seen.actor.node)) in.fail();
        if (i > 0 && !(frontier.seen_.back().actor < seen.actor)) in.fail();
        if (in.failed()) return {};
        frontier.seen_.push_back(std::move(seen));
    }
    return frontier;
}

std::string to_string(const Frontier& frontier) {
    std::string text = "{";
    for (const auto& [node, start] : frontier.sealed()) {
        if (text.size() > 1) text += ", ";
        text += fmt::format("{:x}: all before {}", node.raw(), start);
    }
    for (const Seen& seen : frontier.seen()) {
        if (text.size() > 1) text += ", ";
        text += fmt::format("{}: 1-{}", to_string(seen.actor), seen.base);
        for (const auto& [first, last] : seen.above)
            text += fmt::format(" {}-{}", first, last);
    }
    return text + "}";
}

}  // namespace starling::node
