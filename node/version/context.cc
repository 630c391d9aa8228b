#include "node/version/context.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::node {

namespace {

constexpr size_t encoded_entry_bytes_min = encoded_actor_bytes + 1;

bool actor_before(const Context::Entry& entry, const Actor& actor) {
    return entry.actor < actor;
}

}  // namespace

bool Context::covers(const Dot& dot) const {
    return dot.sequence <= sequence_of(dot.actor);
}

bool Context::covers(const Context& other) const {
    auto mine = entries_.begin();
    for (const Entry& wanted : other.entries_) {
        mine = std::find_if(mine, entries_.end(), [&](const Entry& entry) {
            return !(entry.actor < wanted.actor);
        });
        if (mine == entries_.end() || mine->actor != wanted.actor) return false;
        if (mine->sequence < wanted.sequence) return false;
    }
    return true;
}

uint64_t Context::sequence_of(const Actor& actor) const {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), actor, actor_before);
    return at != entries_.end() && at->actor == actor ? at->sequence : 0;
}

void Context::add(const Dot& dot) {
    STARLING_CHECK(dot.sequence > 0);
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), dot.actor, actor_before);
    if (at != entries_.end() && at->actor == dot.actor) {
        at->sequence = std::max(at->sequence, dot.sequence);
    } else {
        entries_.insert(at, Entry{dot.actor, dot.sequence});
    }
}

bool Context::merge(const Context& other) {
    if (covers(other)) return false;
    std::vector<Entry> merged;
    merged.reserve(entries_.size() + other.entries_.size());
    auto mine = entries_.begin();
    auto theirs = other.entries_.begin();
    while (mine != entries_.end() && theirs != other.entries_.end()) {
        if (mine->actor < theirs->actor) {
            merged.push_back(*mine++);
        } else if (theirs->actor < mine->actor) {
            merged.push_back(*theirs++);
        } else {
            merged.push_back(Entry{mine->actor, std::max(mine->sequence, theirs->sequence)});
            ++mine;
            ++theirs;
        }
    }
    merged.insert(merged.end(), mine, entries_.end());
    merged.insert(merged.end(), theirs, other.entries_.end());
    entries_ = std::move(merged);
    return true;
}

void Context::encode(std::string& out) const {
    base::put_varint(out, entries_.size());
    for (const Entry& entry : entries_) {
        put_dot(out, Dot{entry.actor, entry.sequence});
    }
}

Context Context::decode(base::Reader& in) {
    Context context;
    const size_t count = in.count(encoded_entry_bytes_min);
    context.entries_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const Dot dot = read_dot(in);
        if (i > 0 && !(context.entries_.back().actor < dot.actor)) in.fail();
        if (in.failed()) return {};
        context.entries_.push_back(Entry{dot.actor, dot.sequence});
    }
    return context;
}

std::string to_string(const Context& context) {
    std::string text = "{";
    for (const Context::Entry& entry : context.entries()) {
        if (text.size() > 1) text += ", ";
        text += to_string(Dot{entry.actor, entry.sequence});
    }
    return text + "}";
}

}  // namespace starling::node
