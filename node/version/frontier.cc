#include "node/version/frontier.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::node {

namespace {

using Seen = Frontier::Seen;
using Range = std::pair<uint64_t, uint64_t>;

// An actor, its base, and the count of ranges; then at least one byte for each bound of a range.
constexpr size_t encoded_seen_bytes_min = encoded_actor_bytes + 2;
constexpr size_t encoded_range_bytes_min = 2;

// `first` is at most one beyond `last`, so that a range up to `last` and one from `first` are one
// range.
bool touches(uint64_t last, uint64_t first) {
    return first <= last || first - last == 1;
}

// The last range that starts at or below the sequence; end() when there is none.
template <typename Ranges>
auto range_at(Ranges& above, uint64_t sequence) {
    const auto next = std::upper_bound(
        above.begin(), above.end(), sequence, [](uint64_t value, const Range& range) {
            return value < range.first;
        });
    return next == above.begin() ? above.end() : next - 1;
}

bool contains_range(const Seen& seen, Range wanted) {
    if (wanted.second <= seen.base) return true;
    // A range never touches the base or its neighbour, so what straddles two of them has a gap
    // inside.
    const uint64_t first = std::max(wanted.first, seen.base + 1);
    const auto range = range_at(seen.above, first);
    return range != seen.above.end() && wanted.second <= range->second;
}

bool contains_all(const Seen& seen, const Seen& wanted) {
    if (wanted.base > 0 && !contains_range(seen, {1, wanted.base})) return false;
    return std::all_of(wanted.above.begin(), wanted.above.end(), [&](const Range& range) {
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

void append_range(std::vector<Range>& ranges, Range next) {
    if (!ranges.empty() && touches(ranges.back().second, next.first)) {
        ranges.back().second = std::max(ranges.back().second, next.second);
    } else {
        ranges.push_back(next);
    }
}

Seen unite_seen(const Seen& a, const Seen& b) {
    Seen united{a.actor, std::max(a.base, b.base), {}};
    std::vector<Range> all;
    all.reserve(a.above.size() + b.above.size());
    std::merge(
        a.above.begin(), a.above.end(), b.above.begin(), b.above.end(), std::back_inserter(all));
    for (const Range& range : all)
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
    for (const Range& range : seen.above) {
        gaps += range.first - last - 1;
        last = range.second;
    }
    return gaps;
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

}  // namespace

bool Frontier::contains(const Dot& dot) const {
    const auto at = std::lower_bound(seen_.begin(), seen_.end(), dot.actor, actor_before);
    return at != seen_.end() && at->actor == dot.actor &&
           contains_range(*at, {dot.sequence, dot.sequence});
}

bool Frontier::contains(const Frontier& other) const {
    auto mine = seen_.begin();
    for (const Seen& wanted : other.seen_) {
        mine = std::find_if(
            mine, seen_.end(), [&](const Seen& seen) { return !(seen.actor < wanted.actor); });
        if (mine == seen_.end() || mine->actor != wanted.actor) return false;
        if (!contains_all(*mine, wanted)) return false;
    }
    return true;
}

bool Frontier::add(const Dot& dot) {
    STARLING_CHECK(dot.sequence > 0);
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
}

Frontier Frontier::written_by(base::NodeId node) const {
    Frontier part;
    std::copy_if(seen_.begin(), seen_.end(), std::back_inserter(part.seen_), [&](const Seen& seen) {
        return seen.actor.node == node;
    });
    return part;
}

uint64_t Frontier::gap_count() const {
    uint64_t gaps = 0;
    for (const Seen& seen : seen_)
        gaps += gaps_of(seen);
    return gaps;
}

void Frontier::encode(std::string& out) const {
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
    const size_t count = in.count(encoded_seen_bytes_min);
    frontier.seen_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        Seen seen;
        seen.actor = read_actor(in);
        seen.base = in.varint();
        decode_ranges(in, seen);
        if (seen.base == 0 && seen.above.empty()) in.fail();
        if (i > 0 && !(frontier.seen_.back().actor < seen.actor)) in.fail();
        if (in.failed()) return {};
        frontier.seen_.push_back(std::move(seen));
    }
    return frontier;
}

std::string to_string(const Frontier& frontier) {
    std::string text = "{";
    for (const Seen& seen : frontier.seen()) {
        if (text.size() > 1) text += ", ";
        text += fmt::format("{}: 1-{}", to_string(seen.actor), seen.base);
        for (const auto& [first, last] : seen.above)
            text += fmt::format(" {}-{}", first, last);
    }
    return text + "}";
}

}  // namespace starling::node
