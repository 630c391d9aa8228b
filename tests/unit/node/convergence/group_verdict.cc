// What should be there, and what is wrong with it.

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "node/version/expiry.h"
#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

namespace {

using RequestSet = std::set<base::RequestId>;

std::string describe(const RequestSet& requests) {
    std::vector<uint64_t> numbers;
    for (const base::RequestId& id : requests)
        numbers.push_back(id.created_ms);
    return fmt::format("{}", numbers);
}

}  // namespace

std::optional<std::string> Group::violation_of_reads() const {
    if (wrong_.has_value()) return wrong_;
    for (size_t a = 0; a < node_count; ++a) {
        for (size_t b = a + 1; b < node_count; ++b) {
            if (!is_owner(a) || !is_owner(b)) continue;
            for (size_t key = 0; key < key_count; ++key) {
                Record record = members_[a].disk.records[key];
                join(record, members_[b].disk.records[key]);
                Dots reflected = members_[a].disk.reflected;
                reflected.insert(members_[b].disk.reflected.begin(),
                                 members_[b].disk.reflected.end());
                if (auto wrong = wrong_writes(key, reflected, record)) {
                    return fmt::format("read of {} and {}: {}",
                                       static_cast<char>('A' + a),
                                       static_cast<char>('A' + b),
                                       *wrong);
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> Group::violation() const {
    if (wrong_.has_value()) return wrong_;
    if (auto differs = difference()) return differs;
    Dots reflected;
    for (const Seat& seat : seats_) {
        const Dots& its = members_[*seat.holder].now.reflected;
        reflected.insert(its.begin(), its.end());
    }
    RequestSet there;
    for (const Dot& dot : reflected)
        there.insert(truth_.at(dot).request);
    for (const base::RequestId& request : acknowledged_) {
        if (!there.contains(request)) {
            return fmt::format("acknowledged and lost: {}", request.created_ms);
        }
    }
    for (size_t key = 0; key < key_count; ++key) {
        const Record& record = members_[*seats_[0].holder].now.records[key];
        if (auto wrong = wrong_writes(key, reflected, record)) return wrong;
    }
    return std::nullopt;
}

std::optional<std::string> Group::difference() const {
    for (size_t node = 0; node < node_count; ++node) {
        if (hint_count(node) > 0) return "a hint stays for ever";
    }
    for (const Seat& seat : seats_) {
        if (!seat.holder.has_value() || !is_owner(*seat.holder)) return "an owner is not ready";
    }
    const State& first = members_[*seats_[0].holder].now;
    for (const Seat& seat : seats_) {
        const State& state = members_[*seat.holder].now;
        if (state.frontier.gap_count() != 0) {
            return "a frontier has a gap: " + to_string(state.frontier);
        }
        if (state.frontier != first.frontier) return "frontiers differ";
        if (!state.index.empty()) return "the index is not empty";
        for (size_t key = 0; key < key_count; ++key) {
            const Record& record = state.records[key];
            if (record.siblings != first.records[key].siblings) return "records differ";
            for (const Sibling& sibling : record.siblings) {
                if (hides_another(record, sibling.request)) continue;
                if (sibling.is_tombstone) return "a tombstone stays for ever";
                if (has_expired(sibling, now_)) return "an expired value stays";
            }
            if (record.siblings.empty() && !record.context.empty()) {
                return "what was collected left something behind";
            }
            if (!record.gone.empty() && rules_.requests_remembered) return "ids stay for ever";
        }
    }
    return std::nullopt;
}

// What of `reflected` nothing else in it replaced should be live, and nothing more.
std::optional<std::string> Group::wrong_writes(size_t key,
                                               const Dots& reflected,
                                               const Record& record) const {
    RequestSet expected;
    RequestSet replaced;
    for (const Dot& dot : reflected) {
        const Truth& truth = truth_.at(dot);
        if (truth.key != key) continue;
        if (!truth.is_tombstone) expected.insert(truth.request);
        replaced.insert(truth.replaced.begin(), truth.replaced.end());
    }
    for (const base::RequestId& request : replaced)
        expected.erase(request);
    RequestSet live;
    for (const Sibling& sibling : record.siblings) {
        if (!sibling.is_tombstone) live.insert(sibling.request);
        if (sibling.expires_ms != truth_.at(sibling.dot).expires_ms) {
            return fmt::format("expires at another time: {}", sibling.request.created_ms);
        }
    }
    for (const base::RequestId& request : expected) {
        if (!live.contains(request)) {
            return fmt::format("lost: {} of {}", request.created_ms, describe(expected));
        }
    }
    for (const base::RequestId& request : live) {
        if (!expected.contains(request)) {
            return fmt::format("back: {} beside {}", request.created_ms, describe(expected));
        }
    }
    return std::nullopt;
}

}  // namespace starling::node::group_model
