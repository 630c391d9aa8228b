// R3, the one place where two versions of a record become one. First it is decided which siblings
// stay, by dots and ids alone; then the values that stay are moved or copied, once.

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "absl/container/inlined_vector.h"

#include "base/planted.h"
#include "node/version/record.h"

namespace starling::node {

namespace {

using RequestIds = absl::InlinedVector<base::RequestId, 4>;

struct Choice {
    size_t index = 0;
    bool is_incoming = false;
};
using Choices = absl::InlinedVector<Choice, 4>;

// What the contexts decide, before request ids are looked at.
struct Verdict {
    // In the order of dots.
    Choices kept;
    // Requests of siblings that the other side had superseded.
    RequestIds fallen_local;
    RequestIds fallen_incoming;
};

Verdict judge(const Record& local, const Record& incoming, const Frontier* frontier) {
    Verdict verdict;
    const std::vector<Sibling>& mine = local.siblings;
    const std::vector<Sibling>& theirs = incoming.siblings;
    size_t i = 0;
    size_t j = 0;
    while (i < mine.size() || j < theirs.size()) {
        if (j == theirs.size() || (i < mine.size() && mine[i].dot < theirs[j].dot)) {
            if (incoming.context.covers(mine[i].dot)) {
                verdict.fallen_local.push_back(mine[i].request);
            } else {
                verdict.kept.push_back({i, false});
            }
            ++i;
        } else if (i == mine.size() || theirs[j].dot < mine[i].dot) {
            const Dot& dot = theirs[j].dot;
            if (local.context.covers(dot) || (frontier != nullptr && frontier->contains(dot))) {
                verdict.fallen_incoming.push_back(theirs[j].request);
            } else {
                verdict.kept.push_back({j, true});
            }
            ++j;
        } else {
            verdict.kept.push_back({i, false});
            ++i;
            ++j;
        }
    }
    return verdict;
}

// Appends the fallen ids that `other` does not hold live: that side kept the same request under
// another dot.
void append_superseded(std::vector<base::RequestId>& out,
                       const RequestIds& fallen,
                       const Record& other) {
    if (fallen.empty()) return;
    RequestIds live;
    live.reserve(other.siblings.size());
    for (const Sibling& sibling : other.siblings)
        live.push_back(sibling.request);
    std::sort(live.begin(), live.end());
    std::copy_if(
        fallen.begin(), fallen.end(), std::back_inserter(out), [&](const base::RequestId& id) {
            return !std::binary_search(live.begin(), live.end(), id);
        });
}

// True when ids were added.
bool unite_gone(Record& local, const Record& incoming, const Verdict& verdict) {
    std::vector<base::RequestId> more;
    append_superseded(more, verdict.fallen_local, incoming);
    append_superseded(more, verdict.fallen_incoming, local);
    more.insert(more.end(), incoming.gone.begin(), incoming.gone.end());
    if (!std::is_sorted(more.begin(), more.end())) std::sort(more.begin(), more.end());
    if (std::includes(local.gone.begin(), local.gone.end(), more.begin(), more.end())) return false;
    std::vector<base::RequestId> united;
    united.reserve(local.gone.size() + more.size());
    std::set_union(
        local.gone.begin(), local.gone.end(), more.begin(), more.end(), std::back_inserter(united));
    united.erase(std::unique(united.begin(), united.end()), united.end());
    local.gone = std::move(united);
    return true;
}

// Of equal request ids the least dot stays. `kept` is in the order of dots and stays so.
template <typename RequestOf>
void collapse_retries(Choices& kept, const RequestOf& request_of) {
    if (kept.size() < 2) return;
    absl::InlinedVector<size_t, 4> by_request(kept.size());
    for (size_t i = 0; i < kept.size(); ++i)
        by_request[i] = i;
    std::sort(by_request.begin(), by_request.end(), [&](size_t a, size_t b) {
        return std::pair(request_of(kept[a]), a) < std::pair(request_of(kept[b]), b);
    });
    absl::InlinedVector<size_t, 4> doubles;
    for (size_t i = 1; i < by_request.size(); ++i) {
        if (request_of(kept[by_request[i - 1]]) == request_of(kept[by_request[i]])) {
            doubles.push_back(by_request[i]);
        }
    }
    std::sort(doubles.begin(), doubles.end());
    for (; !doubles.empty(); doubles.pop_back()) {
        kept.erase(kept.begin() + static_cast<ptrdiff_t>(doubles.back()));
    }
}

bool is_all_of_local(const Choices& kept, const Record& local) {
    return kept.size() == local.siblings.size() &&
           std::none_of(kept.begin(), kept.end(), [](Choice choice) { return choice.is_incoming; });
}

// Which requests hid which, on either side: united by request, whatever the dots.
using Hidden = std::vector<std::pair<base::RequestId, std::vector<base::RequestId>>>;

void collect_hidden(Hidden& out, const Record& record) {
    for (const Sibling& sibling : record.siblings) {
        if (!sibling.hidden_by.empty()) out.emplace_back(sibling.request, sibling.hidden_by);
    }
}

// True when a sibling learned of another that hides it.
bool hide(std::vector<Sibling>& siblings, const Hidden& hidden) {
    bool changed = false;
    for (const auto& [request, older] : hidden) {
        const auto at = std::find_if(siblings.begin(), siblings.end(), [&](const Sibling& sibling) {
            return sibling.request == request;
        });
        if (at == siblings.end()) continue;
        std::vector<base::RequestId> united;
        std::set_union(at->hidden_by.begin(),
                       at->hidden_by.end(),
                       older.begin(),
                       older.end(),
                       std::back_inserter(united));
        changed = changed || united.size() != at->hidden_by.size();
        at->hidden_by = std::move(united);
    }
    return changed;
}

// Planted bugs: what a wrong merge does to siblings that all should stay.
void drop_a_good_sibling(Choices& kept, const auto& value_of) {
    if (kept.size() < 2) return;
    if (STARLING_PLANTED(merge_drops_sibling) && kept.size() > 2) kept.pop_back();
    if (STARLING_PLANTED(merge_picks_larger_value)) {
        kept = {*std::max_element(kept.begin(), kept.end(), [&](Choice a, Choice b) {
            return value_of(a) < value_of(b);
        })};
    }
}

// A planted bug: an old value wins over the tombstone that superseded it.
bool resurrect(Record& local, const Record& incoming) {
    if (local.siblings.empty() || local.has_live_value() || !incoming.has_live_value())
        return false;
    Record risen = incoming;
    risen.context.merge(local.context);
    local = std::move(risen);
    return true;
}

template <typename Incoming>
void take(const Choices& kept, Record& local, Incoming&& incoming) {
    std::vector<Sibling> siblings;
    siblings.reserve(kept.size());
    for (const Choice choice : kept) {
        if (!choice.is_incoming) {
            siblings.push_back(std::move(local.siblings[choice.index]));
        } else if constexpr (std::is_const_v<std::remove_reference_t<Incoming>>) {
            siblings.push_back(incoming.siblings[choice.index]);
        } else {
            siblings.push_back(std::move(incoming.siblings[choice.index]));
        }
    }
    local.siblings = std::move(siblings);
}

// Whether a value counts as seen only because nothing was to come of its life any more (R6), while
// `record` does not speak of it: nobody has it.
bool is_unknown(const Sibling& sibling, const Record& record, const Frontier& seen) {
    return sibling.dot.actor.start < seen.sealed_before(sibling.dot.actor.node) &&
           !record.context.covers(sibling.dot) && !record.is_gone(sibling.request) &&
           record.find(sibling.request) == nullptr;
}

// Whether nothing in the record is new for who has seen `seen`, and a value of it is unknown to
// `other`: a disk that was set back has brought it, or it is very old. What it has replaced is gone
// from `other`, too, or was replaced by that value alone, which nobody holds.
bool has_come_too_late(const Record& record, const Record& other, const Frontier& seen) {
    const auto is_seen = [&](const Sibling& sibling) { return seen.contains(sibling.dot); };
    return std::ranges::all_of(record.siblings, is_seen) &&
           std::ranges::any_of(record.siblings, [&](const Sibling& sibling) {
               return is_unknown(sibling, other, seen);
           });
}

// `record` accounts for `context` and `gone`, too; its own values stay. True when it changed.
bool account_for(Record& record, const Context& context, std::vector<base::RequestId> gone) {
    std::erase_if(gone,
                  [&](const base::RequestId& request) { return record.find(request) != nullptr; });
    const Record known{.context = {}, .siblings = {}, .gone = std::move(gone)};
    const bool gone_grew = unite_gone(record, known, Verdict());
    return record.context.merge(context) || gone_grew;
}

// Of the unknown values of `late` nothing is said: who is refilled and has one still takes what it
// had replaced from a record that does not speak of it (take_over()).
bool account_for_known(Record& local, const Record& late, const Frontier& frontier) {
    std::vector<Actor> unknown;
    std::vector<base::RequestId> gone;
    for (const Sibling& sibling : late.siblings) {
        if (is_unknown(sibling, local, frontier)) {
            unknown.push_back(sibling.dot.actor);
        } else {
            gone.push_back(sibling.request);
        }
    }
    Context seen;
    for (const Context::Entry& entry : late.context.entries()) {
        const Dot dot{entry.actor, entry.sequence};
        if (frontier.contains(dot) && std::ranges::find(unknown, entry.actor) == unknown.end()) {
            seen.add(dot);
        }
    }
    // Requests alone would be beside nothing that says when they go.
    if (local == Record{} && seen.empty()) return false;
    return account_for(local, seen, std::move(gone));
}

template <typename Incoming>
bool merge_into(Record& local, Incoming&& incoming, const Frontier* frontier) {
    if (STARLING_PLANTED(resurrected_tombstone) && resurrect(local, incoming)) return true;
    if (frontier != nullptr && has_come_too_late(incoming, local, *frontier)) {
        return account_for_known(local, incoming, *frontier);
    }
    const Verdict verdict = judge(local, incoming, frontier);
    const bool gone_grew = unite_gone(local, incoming, verdict);

    Hidden hidden;
    collect_hidden(hidden, local);
    collect_hidden(hidden, incoming);
    Choices kept;
    const auto request_of = [&](Choice choice) -> const base::RequestId& {
        return (choice.is_incoming ? incoming : local).siblings[choice.index].request;
    };
    std::copy_if(
        verdict.kept.begin(), verdict.kept.end(), std::back_inserter(kept), [&](Choice choice) {
            return !local.is_gone(request_of(choice));
        });
    collapse_retries(kept, request_of);
    drop_a_good_sibling(kept, [&](Choice choice) -> const std::string& {
        return (choice.is_incoming ? incoming : local).siblings[choice.index].value;
    });

    const bool context_grew = local.context.merge(incoming.context);
    if (is_all_of_local(kept, local)) {
        return hide(local.siblings, hidden) || gone_grew || context_grew;
    }
    take(kept, local, std::forward<Incoming>(incoming));
    hide(local.siblings, hidden);
    return true;
}

void see(const Dot& dot, Frontier& frontier) {
    frontier.add(dot);
    if (STARLING_PLANTED(frontier_over_gap)) {
        for (uint64_t lower = dot.sequence; lower > 1; --lower)
            frontier.add({dot.actor, lower - 1});
    }
}

template <typename Incoming>
bool merge_and_see(Record& local, Incoming&& incoming, Frontier& frontier) {
    // Dots first: the values, not the dots, may be moved away.
    absl::InlinedVector<Dot, 4> dots;
    for (const Sibling& sibling : incoming.siblings)
        dots.push_back(sibling.dot);
    const bool changed = merge_into(local, std::forward<Incoming>(incoming), &frontier);
    for (const Dot& dot : dots)
        see(dot, frontier);
    return changed;
}

}  // namespace

bool merge(Record& local, const Record& incoming, Frontier& frontier) {
    return merge_and_see(local, incoming, frontier);
}

bool merge(Record& local, Record&& incoming, Frontier& frontier) {
    return merge_and_see(local, std::move(incoming), frontier);
}

void take_over(Record& local,
               const Record& giver,
               const Frontier& seen_by_giver,
               Frontier& frontier) {
    if (has_come_too_late(local, giver, seen_by_giver)) {
        for (const Sibling& sibling : giver.siblings)
            see(sibling.dot, frontier);
        Record taken = giver;
        std::vector<base::RequestId> gone = local.gone;
        for (const Sibling& sibling : local.siblings) {
            // A retry of what nobody has is a new write, here as anywhere.
            if (!is_unknown(sibling, giver, seen_by_giver)) gone.push_back(sibling.request);
        }
        account_for(taken, local.context, std::move(gone));
        local = std::move(taken);
        return;
    }
    merge(local, giver, frontier);
    std::erase_if(local.siblings, [&](const Sibling& sibling) {
        return seen_by_giver.contains(sibling.dot) && giver.find(sibling.request) == nullptr;
    });
}

bool accounts_for(const Record& local, const Record& incoming, const Frontier& frontier) {
    return std::all_of(
        incoming.siblings.begin(), incoming.siblings.end(), [&](const Sibling& sibling) {
            return sibling.is_tombstone || !frontier.contains(sibling.dot) ||
                   local.context.covers(sibling.dot) || local.is_gone(sibling.request) ||
                   local.find(sibling.request) != nullptr;
        });
}

bool join(Record& local, const Record& incoming) {
    return merge_into(local, incoming, nullptr);
}

bool join(Record& local, Record&& incoming) {
    return merge_into(local, std::move(incoming), nullptr);
}

}  // namespace starling::node
