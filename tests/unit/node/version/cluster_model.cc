#include "tests/unit/node/version/cluster_model.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node::model {

namespace {

using RequestSet = std::set<base::RequestId>;

std::string describe(const RequestSet& requests) {
    std::vector<uint64_t> numbers;
    for (const base::RequestId& id : requests)
        numbers.push_back(id.created_ms);
    return fmt::format("{}", numbers);
}

}  // namespace

RequestSet live_requests(const Record& record) {
    RequestSet requests;
    for (const Sibling& sibling : record.siblings)
        requests.insert(sibling.request);
    return requests;
}

std::set<Dot> live_dots(const Record& record) {
    std::set<Dot> dots;
    for (const Sibling& sibling : record.siblings)
        dots.insert(sibling.dot);
    return dots;
}

std::set<Dot> live_dots_by_definition(const std::map<Dot, base::RequestId>& minted,
                                      const Context& context,
                                      const std::vector<base::RequestId>& gone) {
    RequestSet met(gone.begin(), gone.end());
    std::set<Dot> dots;
    for (const auto& [dot, request] : minted) {
        if (context.covers(dot) && met.insert(request).second) dots.insert(dot);
    }
    return dots;
}

Cluster::Cluster(Rules rules) : rules_(rules) {
    for (size_t i = 0; i < owner_count; ++i)
        owners_[i].actor = testing::actor(i + 1);
}

Reading Cluster::reading_of(const Record& record, size_t key) const {
    Reading reading{Superseded::by_reading(record), live_requests(record), live_requests(record)};
    for (const Sibling& sibling : record.siblings) {
        const RequestSet& past = pasts_[key].at(sibling.dot);
        reading.past.insert(past.begin(), past.end());
    }
    return reading;
}

// A client that names nothing means what was there when it made its request.
Reading Cluster::older_held(const Record& record,
                            size_t key,
                            const base::RequestId& request) const {
    Reading held;
    for (const Sibling& sibling : record.siblings) {
        const RequestSet& past = pasts_[key].at(sibling.dot);
        // Hiding is harm too, until replicas meet.
        if (past.contains(request)) held.past.insert(request);
        if (!(sibling.request < request)) continue;
        held.live.insert(sibling.request);
        held.past.insert(sibling.request);
        held.past.insert(past.begin(), past.end());
    }
    return held;
}

Reading Cluster::read(size_t owner, size_t key) const {
    Reading reading = reading_of(owners_[owner].records[key], key);
    if (!rules_.context_names_superseded) {
        reading.seen.requests.assign(reading.live.begin(), reading.live.end());
    }
    if (!rules_.context_names_requests) reading.seen.requests.clear();
    return reading;
}

void Cluster::put(const Put& put) {
    Owner& owner = owners_[put.owner];
    Record& local = owner.records[put.key];
    if (put.replaces == Replaces::held_by_two) {
        merge_into(owner, put.key, owners_[put.other_owner].records[put.key]);
    }
    if (const Sibling* known = local.find(put.request); known != nullptr) {
        return send(put.owner, put.key, known->dot);
    }
    if (local.is_gone(put.request)) return;

    const bool names_what_it_replaces = put.replaces == Replaces::seen_by_reader;
    const Reading reading =
        names_what_it_replaces ? put.reading : older_held(local, put.key, put.request);
    NewWrite write = testing::write(Dot{owner.actor, ++owner.minted_count},
                                    put.request.created_ms,
                                    fmt::format("w{}", put.request.created_ms));
    write.is_tombstone = put.is_tombstone;
    if (put.is_tombstone) write.value.clear();

    RequestSet& replaced = replaced_[put.key][put.request];
    RequestSet& past = pasts_[put.key][write.dot];
    if (!reading.seen.has_seen(put.request)) {
        replaced.insert(reading.live.begin(), reading.live.end());
        past = reading.past;
        if (past.contains(put.request)) replaced_its_own_future_ = true;
    }
    minted_[put.key][write.dot] = put.request;
    const Dot dot = write.dot;
    if (names_what_it_replaces || !rules_.younger_only_hidden) {
        local = mint(local,
                     names_what_it_replaces ? reading.seen : Superseded::by_reading(local),
                     std::move(write));
    } else {
        local = mint_over(local, std::move(write));
    }
    if (!rules_.requests_remembered) local.gone.clear();
    owner.frontier.add(dot);
    send(put.owner, put.key, dot);
}

void Cluster::send(size_t from, size_t key, const Dot& dot) {
    Record record = owners_[from].records[key];
    if (!rules_.whole_records) {
        std::erase_if(record.siblings, [&](const Sibling& sibling) { return sibling.dot != dot; });
    }
    for (size_t to = 0; to < owner_count; ++to) {
        if (to == from) continue;
        const uint64_t digest = record_digest("", record);
        messages_.push_back({.to = to, .key = key, .record = record, .dot = dot, .digest = digest});
    }
}

void Cluster::deliver(const Message& message) {
    Owner& owner = owners_[message.to];
    if (owner.frontier.contains(message.dot)) return;
    merge_into(owner, message.key, message.record);
}

void Cluster::merge_into(Owner& owner, size_t key, const Record& incoming) {
    merge(owner.records[key], incoming, owner.frontier);
    if (!rules_.requests_remembered) owner.records[key].gone.clear();
    if (rules_.frontier_from_siblings_only) return;
    for (const Context::Entry& entry : incoming.context.entries()) {
        for (uint64_t sequence = 1; sequence <= entry.sequence; ++sequence) {
            owner.frontier.add(Dot{entry.actor, sequence});
        }
    }
}

void Cluster::pull(size_t to, size_t from) {
    for (size_t key = 0; key < key_count; ++key) {
        merge_into(owners_[to], key, owners_[from].records[key]);
    }
    if (rules_.frontier_union) owners_[to].frontier.unite(owners_[from].frontier);
}

void Cluster::converge() {
    // What one owner has reaches the last one over the first; then it goes back.
    for (int round = 0; round < 2; ++round) {
        for (size_t to = 0; to < owner_count; ++to) {
            for (size_t from = 0; from < owner_count; ++from) {
                if (to != from) pull(to, from);
            }
        }
    }
}

std::optional<std::string> Cluster::violation() const {
    if (replaced_its_own_future_) return "a retry replaced what came after its first attempt";
    if (auto differs = difference()) return differs;
    for (size_t key = 0; key < key_count; ++key) {
        if (auto wrong = wrong_writes(key)) return wrong;
    }
    return std::nullopt;
}

std::optional<std::string> Cluster::difference() const {
    for (const Owner& owner : owners_) {
        if (owner.frontier.gap_count() != 0) {
            return "a frontier has a gap: " + to_string(owner.frontier);
        }
        if (owner.frontier != owners_[0].frontier) return "frontiers differ";
        for (size_t key = 0; key < key_count; ++key) {
            Record mine = owner.records[key];
            Record first = owners_[0].records[key];
            mine.gone.clear();
            first.gone.clear();
            if (testing::encoded(mine) != testing::encoded(first)) return "records differ";
        }
    }
    return std::nullopt;
}

std::optional<std::string> Cluster::wrong_writes(size_t key) const {
    RequestSet expected;
    for (const auto& [request, others] : replaced_[key])
        expected.insert(request);
    for (const auto& [request, others] : replaced_[key]) {
        for (const base::RequestId& other : others)
            expected.erase(other);
    }
    const Record& record = owners_[0].records[key];
    const RequestSet live = live_requests(record);
    if (live.size() != record.siblings.size()) return "two siblings of one request";
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

}  // namespace starling::node::model
