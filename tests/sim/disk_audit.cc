#include "tests/sim/disk_audit.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tests/sim/merge_laws.h"

namespace starling::sim {

namespace {

// One audit in so many looks at all records of the group, on all disks.
constexpr uint64_t records_interval = 6;
constexpr size_t promises_kept_max = 16;
// The laws are tried on all triples.
constexpr size_t versions_kept_max = 5;

bool has_write(const node::Record& record, const node::Dot& dot, const base::RequestId& request) {
    return record.context.covers(dot) || record.find(request) != nullptr;
}

bool knows(const std::deque<node::Record>& versions, const node::Record& record) {
    return std::ranges::any_of(versions, [&](const node::Record& known) {
        return known.context == record.context && known.siblings == record.siblings;
    });
}

}  // namespace

DiskAudit::DiskAudit(World world)
    : world_(std::move(world)), random_(world_.random.fork("disk audit")) {
    draw_next();
}

void DiskAudit::draw_next() {
    until_next_ = 1 + random_.below(2 * uint64_t{world_.options.audit_interval} - 1);
}

node::GroupId DiskAudit::group_of(KeyIndex key) const {
    const Oracle::Key& of_key = world_.oracle.key(key);
    return {.partition = of_key.partition, .replicas = static_cast<uint8_t>(of_key.replicas)};
}

void DiskAudit::put_acknowledged(
    Machine& by, KeyIndex key, WriteId id, uint32_t quorum, const node::PutResult& result) {
    // A repeat of what is superseded already has no dot any more.
    if (result.dot.sequence == 0 || !by.is_up()) return;
    const Promise promise{
        .key = key, .id = id, .quorum = quorum, .dot = result.dot, .receipt = result.receipt};
    const bool is_hinted = result.receipt.seats_hinted > 0;
    if (--until_next_ > 0) {
        if (is_hinted) remember(promise);
        return;
    }
    draw_next();
    ++counts_.acknowledgements;
    cluster_ = by.node().cluster();
    check_durable(promise, &by);
    if (!promises_.empty()) check_durable(promises_[random_.below(promises_.size())], nullptr);
    remember(promise);
    if (random_.below(records_interval) == 0) check_records(key);
    open_.clear();
}

void DiskAudit::remember(const Promise& promise) {
    if (promises_.size() == promises_kept_max)
        promises_.erase(promises_.begin() +
                        static_cast<ptrdiff_t>(random_.below(promises_kept_max)));
    promises_.push_back(promise);
}

void DiskAudit::check_promises() {
    if (cluster_.is_none()) return;
    for (const Promise& promise : promises_) {
        if (world_.verdict.ok()) check_durable(promise, nullptr);
    }
    open_.clear();
}

DiskCopy* DiskAudit::open(Machine& machine, node::GroupId group) {
    const uint32_t shard = group.partition.raw() % world_.options.shards;
    const auto [place, is_new] = open_.try_emplace({machine.number(), shard});
    if (is_new) {
        ++counts_.disks_opened;
        auto copy = DiskCopy::open(machine, shard);
        if (copy.ok()) {
            place->second = *std::move(copy);
        } else if (!absl::IsNotFound(copy.status())) {
            failed(machine, copy.status());
        }
    }
    return place->second.get();
}

void DiskAudit::failed(const Machine& machine, const absl::Status& status) {
    world_.verdict.report("I10",
                          fmt::format("the disk of {} could not be read after a power cut now: {}",
                                      machine.name(),
                                      status.ToString()));
}

void DiskAudit::check_durable(const Promise& promise, Machine* first) {
    // A disk that rots or is set back may lose a hint, and nobody brings that one back.
    if (promise.receipt.seats_hinted > 0 && world_.cluster.has_lost_data()) return;
    // Long after the last answer more may have expired.
    world_.oracle.clocks_showed(world_.cluster.latest_clock_ms());
    const node::GroupId group = group_of(promise.key);
    const std::string name =
        node::group_key(world_.name_space_of(promise.key), world_.oracle.key(promise.key).key);
    const base::RequestId request = world_.oracle.history(promise.key).get(promise.id).request;
    node::Receipt receipt = promise.receipt;
    std::vector<Machine*> machines;
    if (first != nullptr) {
        machines.push_back(first);
    } else {
        // Seats keep what was promised; they may have come together on fewer nodes since.
        receipt.nodes_answered = 1;
    }
    for (const auto& machine : world_.cluster.machines()) {
        if (machine.get() != first) machines.push_back(machine.get());
    }
    Oracle::DurableCopies found;
    node::SeatSet listed;
    bool has_set_back = false;
    for (Machine* const machine : machines) {
        if (Oracle::are_enough(found, promise.quorum, receipt)) return;
        DiskCopy* const disk = open(*machine, group);
        if (disk == nullptr) continue;
        const auto record = disk->record(group, name);
        auto copies = disk->hinted(group, name, promise.dot);
        const auto seats =
            disk->seats(group, cluster_, static_cast<uint8_t>(world_.options.node.seat_count));
        const auto frontier = disk->frontier(group);
        const auto is_marked = disk->is_marked(group.partition);
        for (const absl::Status& status : {record.status(),
                                           copies.status(),
                                           seats.status(),
                                           frontier.status(),
                                           is_marked.status()}) {
            if (!status.ok()) return failed(*machine, status);
        }
        const bool is_there = has_write(*record, promise.dot, request) ||
                              (frontier->contains(promise.dot) && may_be_forgotten(promise));
        // What a disk has lost it has again when it counts again.
        const bool is_refilling =
            *is_marked || machine->is_set_back() ||
            (machine->is_up() && machine->node().is_refilling(group.partition));
        if (is_there || is_refilling) copies->merge(seats->answered_for);
        // Who has given its seat away since it answered is a machine that has the write.
        if (!copies->empty() || (is_there && seats->has_former)) ++found.machines;
        found.seats.merge(*copies);
        listed.merge(seats->answered_for);
        has_set_back = has_set_back || machine->is_set_back();
    }
    // A disk that was set back may have forgotten a seat, which nobody else has.
    for (uint8_t seat = 0; has_set_back && seat < world_.options.node.seat_count; ++seat) {
        if (listed.contains(base::SeatIndex(seat))) continue;
        found.seats.add(base::SeatIndex(seat));
        ++found.machines;
    }
    world_.oracle.disks_inspected(promise.key, promise.id, promise.quorum, receipt, found);
}

// Replaced, and seen by every owner that is up: a record need not speak of it any more (R5, R8).
bool DiskAudit::may_be_forgotten(const Promise& promise) const {
    const History& history = world_.oracle.history(promise.key);
    std::vector<WriteId> others;
    for (uint32_t id = 1; id <= history.size(); ++id) {
        if (id != promise.id.raw()) others.emplace_back(id);
    }
    const bool is_replaced =
        history.get(promise.id).is_delete ||
        history.absence_explained(promise.id, others, world_.oracle.removed_by_ms());
    return is_replaced && world_.cluster.is_seen_by_all_owners(group_of(promise.key), promise.dot);
}

void DiskAudit::check_records(KeyIndex key) {
    const node::GroupId group = group_of(key);
    Versions met;
    for (const auto& machine : world_.cluster.machines()) {
        DiskCopy* const disk = open(*machine, group);
        if (disk == nullptr) continue;
        check_frontier(*machine, *disk, group, [&](std::string_view name, node::Record record) {
            std::deque<node::Record>& versions = met[std::string(name)];
            record = without_bulk(std::move(record));
            if (!knows(versions, record)) versions.push_back(std::move(record));
        });
    }
    if (world_.verdict.ok()) check_merges(key, std::move(met));
}

void DiskAudit::died(Machine& machine) {
    if (cluster_.is_none()) return;
    std::set<node::GroupId> groups;
    for (size_t key = 0; key < world_.oracle.key_count(); ++key)
        groups.insert(group_of(Oracle::nth_key(key)));
    for (const node::GroupId group : groups) {
        if (DiskCopy* const disk = open(machine, group)) {
            check_frontier(machine, *disk, group, [](std::string_view, const node::Record&) {});
        }
    }
    open_.clear();
}

void DiskAudit::check_frontier(
    const Machine& machine,
    DiskCopy& disk,
    node::GroupId group,
    const std::function<void(std::string_view group_key, node::Record)>& use) {
    std::map<std::string, node::Context, std::less<>> contexts;
    absl::Status status =
        disk.for_each_record(group, [&](std::string_view name, node::Record record) {
            contexts.emplace(name, record.context);
            use(name, std::move(record));
        });
    const auto frontier = disk.frontier(group);
    const auto seats =
        disk.seats(group, cluster_, static_cast<uint8_t>(world_.options.node.seat_count));
    const auto is_marked = disk.is_marked(group.partition);
    status.Update(frontier.status());
    status.Update(seats.status());
    status.Update(is_marked.status());
    if (!status.ok()) return failed(machine, status);
    // Who fills a seat, is refilled, or has given the seat away, answers for nothing.
    if (seats->answered_for.empty() || *is_marked || machine.is_set_back()) return;
    const auto is_ahead = [&](const node::Dot& dot, std::string_view why) {
        world_.verdict.report(
            "I9",
            fmt::format("on the disk of {} the frontier of partition {} has {}, {}",
                        machine.name(),
                        group.partition.raw(),
                        node::to_string(dot),
                        why));
    };
    std::set<node::Dot> indexed;
    status = disk.for_each_indexed_dot(group, [&](const node::Dot& dot, std::string_view name) {
        if (!frontier->contains(dot)) return;
        ++counts_.indexed_dots;
        indexed.insert(dot);
        const auto context = contexts.find(name);
        if (context != contexts.end() && context->second.covers(dot)) return;
        is_ahead(dot, "which the record of its key does not account for");
    });
    if (!status.ok()) return failed(machine, status);
    for (const node::Frontier* const other : world_.cluster.owned_frontiers(group)) {
        for (const node::Frontier::Range& range : frontier->minus(*other)) {
            for (uint64_t sequence = range.first; sequence <= range.last; ++sequence) {
                const node::Dot dot{.actor = range.actor, .sequence = sequence};
                if (!indexed.contains(dot)) {
                    is_ahead(dot, "which another owner has not seen, and the index has not");
                }
            }
        }
    }
}

void DiskAudit::check_merges(KeyIndex key, Versions met) {
    const node::GroupId group = group_of(key);
    for (auto& [name, fresh] : met) {
        std::deque<node::Record>& versions = versions_[{group, name}];
        // What all owners have seen is news to nobody: it meets no record that was stripped since.
        std::erase_if(versions, [&](const node::Record& version) {
            return std::ranges::any_of(version.siblings, [&](const node::Sibling& sibling) {
                return world_.cluster.is_seen_by_all_owners(group, sibling.dot);
            });
        });
        bool is_news = false;
        for (node::Record& record : fresh) {
            if (knows(versions, record)) continue;
            versions.push_back(std::move(record));
            is_news = true;
        }
        while (versions.size() > versions_kept_max)
            versions.pop_front();
        if (is_news) check_merges_of(key, versions);
    }
}

void DiskAudit::check_merges_of(KeyIndex key, std::deque<node::Record>& versions) {
    ++counts_.keys_merged;
    counts_.versions_max = std::max<uint64_t>(counts_.versions_max, versions.size());
    world_.oracle.clocks_showed(world_.cluster.latest_clock_ms());
    std::vector<node::Record> records;
    for (const node::Record& version : versions) {
        records.push_back(without_forgotten_removals(version, world_.oracle.collected_before_ms()));
    }
    const std::string broken = broken_merge_law(
        records,
        [](node::Record& into, const node::Record& incoming) { node::join(into, incoming); });
    if (broken.empty()) return;
    world_.verdict.report("I5",
                          fmt::format("on {} versions of a key of partition {}: {}",
                                      records.size(),
                                      group_of(key).partition.raw(),
                                      broken));
}

}  // namespace starling::sim
