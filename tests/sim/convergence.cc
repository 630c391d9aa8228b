#include "tests/sim/convergence.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include <fmt/format.h>

#include "node/replica/group_access.h"
#include "node/server/inspect.h"
#include "node/version/expiry.h"
#include "node/version/last_write.h"
#include "tests/sim/disk_copy.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr base::Duration look_again_after = seconds(4);
constexpr base::Duration answer_within = seconds(1);
// The end of a life that is sealed late is news.
constexpr int silence_windows_max = 4;

std::vector<base::NodeId> sorted(std::vector<base::NodeId> nodes) {
    std::ranges::sort(nodes);
    return nodes;
}

// The nodes that hold seats 0 .. replicas-1, each once.
std::set<base::NodeId> owners_of(const node::RingPartition& partition, uint32_t replicas) {
    return {partition.holders.begin(), partition.holders.begin() + replicas};
}

// The least number for which a partition finds a node for each of its seats when it takes so many
// of a zone at most.
uint32_t zone_seats_max(const std::map<std::string, uint32_t>& nodes_by_zone, uint32_t seats) {
    uint32_t most = 0;
    uint32_t found = 0;
    while (found < seats) {
        ++most;
        found = 0;
        for (const auto& [zone, nodes] : nodes_by_zone)
            found += std::min(nodes, most);
    }
    return most;
}

// Where nodes are fewer than seats, which of them has more than one is left open.
bool is_placed(const node::RingPartition& partition) {
    const std::set<base::NodeId> holders(partition.holders.begin(), partition.holders.end());
    const std::set<base::NodeId> targets(partition.targets.begin(), partition.targets.end());
    if (targets.size() < partition.targets.size()) return holders == targets;
    return sorted(partition.holders) == sorted(partition.targets);
}

node::BucketDigests tree_of(const std::vector<node::KeyRecord>& records) {
    node::BucketDigests buckets{};
    for (const node::KeyRecord& record : records) {
        buckets[node::bucket_of(record.key)] += node::leaf_digest(record.key, record.record);
    }
    return buckets;
}

// The part of a record that all replicas share: each strips contexts, and forgets requests, in its
// own time.
bool same_record(const node::KeyRecord& a, const node::KeyRecord& b) {
    return a.key == b.key && a.record.siblings == b.record.siblings;
}

std::string siblings_of(const node::Record& record) {
    std::string out;
    for (const node::Sibling& sibling : record.siblings) {
        out += fmt::format(
            " {}{}", node::to_string(sibling.dot), sibling.is_tombstone ? " (a tombstone)" : "");
    }
    return out;
}

// The first key that differs.
std::string difference(const std::vector<node::KeyRecord>& a,
                       const std::vector<node::KeyRecord>& b) {
    const auto [at_a, at_b] = std::ranges::mismatch(a, b, same_record);
    const std::string of_a = at_a == a.end() ? " none" : siblings_of(at_a->record);
    const std::string of_b = at_b == b.end() ? " none" : siblings_of(at_b->record);
    return fmt::format(
        ": of {} siblings and {}, first{} against{}", a.size(), b.size(), of_a, of_b);
}

// Every tombstone is collected, and every value that expires is gone, but those that hide a younger
// value, and every hole of a frontier is filled or sealed. Empty when that is so.
std::string what_stays(const std::vector<node::KeyRecord>& records,
                       const node::Frontier& frontier) {
    for (const node::KeyRecord& record : records) {
        if (record.record.siblings.empty()) {
            return fmt::format("a collected tombstone has left something of {} behind",
                               absl::CHexEscape(record.key));
        }
        for (const node::Sibling& sibling : record.record.siblings) {
            if (node::hides_another(record.record, sibling.request)) continue;
            if (sibling.is_tombstone) {
                return fmt::format("the tombstone {} is not collected",
                                   node::to_string(sibling.dot));
            }
            if (sibling.expires_ms != 0) {
                return fmt::format("the value {}, which expires at {}, is not removed",
                                   node::to_string(sibling.dot),
                                   sibling.expires_ms);
            }
        }
    }
    if (frontier.gap_count() == 0) return "";
    return fmt::format("the frontier {} has holes", node::to_string(frontier));
}

std::string name_of(node::GroupId group) {
    return fmt::format("partition {} (N={})", group.partition.raw(), group.replicas);
}

// What is left of a collected tombstone stays while an owner is away.
void leave_out_remains(node::GroupInspection& group) {
    std::erase_if(group.records,
                  [](const node::KeyRecord& record) { return record.record.siblings.empty(); });
}

// By key, the values that readers are shown.
using ShownDots = std::map<std::string, std::set<node::Dot>>;
ShownDots shown_dots(const std::vector<node::KeyRecord>& records,
                     const std::set<base::NamespaceId>& last_wins) {
    ShownDots shown;
    for (const node::KeyRecord& record : records) {
        const std::vector<node::Sibling>& siblings = record.record.siblings;
        const bool only_last = last_wins.contains(node::split_group_key(record.key).name_space);
        const auto last = std::ranges::max_element(siblings, node::is_earlier);
        for (auto sibling = siblings.begin(); sibling != siblings.end(); ++sibling) {
            if (sibling->is_tombstone || record.record.is_hidden(*sibling) ||
                (only_last && sibling != last)) {
                continue;
            }
            shown[record.key].insert(sibling->dot);
        }
    }
    return shown;
}

node::ShardInspection inspect(Machine& machine) {
    node::ShardInspection inside;
    machine.node().inspect(inside);
    return inside;
}

}  // namespace

std::string Convergence::wait_until_clear(absl::FunctionRef<std::string()> check) {
    const SimTime begin = scheduler_.now();
    std::string why_not;
    do {
        scheduler_.run_for(look_again_after);
        why_not = check();
        elapsed_ = scheduler_.now() - begin;
    } while (!why_not.empty() && elapsed_ < options_.convergence_max);
    return why_not;
}

std::string Convergence::wait() {
    return wait_until_clear([this] { return check(); });
}

std::string Convergence::wait_for_equality(const std::vector<Machine*>& core,
                                           const std::vector<node::NamespaceInfo>& name_spaces) {
    return wait_until_clear([&] { return check_core(core, name_spaces); });
}

std::string Convergence::check() {
    if (!cluster_.is_complete()) return "not all machines are up and members";
    Reports reports;
    if (std::string why_not = ask_status(cluster_.members(), reports); !why_not.empty()) {
        return why_not;
    }
    if (std::string why_not = check_rings(); !why_not.empty()) return why_not;
    for (const auto& [machine, report] : reports) {
        if (std::string why_not = check_status(*machine, report); !why_not.empty()) return why_not;
    }
    return check_replicas(reports);
}

std::string Convergence::ask_status(const std::vector<Machine*>& machines, Reports& reports) {
    using Answer = std::optional<absl::StatusOr<node::StatusReport>>;
    const auto answers = std::make_shared<std::vector<Answer>>(machines.size());
    for (size_t i = 0; i < machines.size(); ++i) {
        machines[i]->node().status([answers, i](auto told) { answers->at(i) = std::move(told); });
    }
    scheduler_.run_for(answer_within);
    for (size_t i = 0; i < machines.size(); ++i) {
        Answer& answer = answers->at(i);
        if (!answer || !answer->ok()) {
            return fmt::format("{} does not tell its status: {}",
                               machines[i]->name(),
                               answer ? answer->status().ToString() : "no answer");
        }
        reports.emplace_back(machines[i], *std::move(*answer));
    }
    return "";
}

std::string Convergence::check_status(Machine& machine, const node::StatusReport& report) {
    if (report.members.size() != cluster_.members().size()) {
        return fmt::format("{} knows {} members of {}",
                           machine.name(),
                           report.members.size(),
                           cluster_.members().size());
    }
    for (const node::MemberStatus& member : report.members) {
        if (member.state != "member" || member.liveness != "alive") {
            return fmt::format("{} holds {} for {} and {}",
                               machine.name(),
                               member.peer_address,
                               member.state,
                               member.liveness);
        }
    }
    if (report.read_only)
        return fmt::format("{} is read-only: {}", machine.name(), report.read_only_reason);
    const double refilled = report.metrics.at("starling_partitions_refilled");
    if (!report.damage.empty() || refilled > 0) {
        return fmt::format("{} has damage ({}), and {} partitions to refill",
                           machine.name(),
                           report.damage,
                           refilled);
    }
    if (std::string why_not = check_disk(machine); !why_not.empty()) return why_not;
    if (report.hints + report.seats_filling + report.seats_fenced + report.groups_dirty == 0)
        return "";
    return fmt::format("{} has {} hints, {} seats filling, {} fenced, {} groups not in step",
                       machine.name(),
                       report.hints,
                       report.seats_filling,
                       report.seats_fenced,
                       report.groups_dirty);
}

// Nobody may have met what has rotted, but the node itself is to look for it.
std::string Convergence::check_disk(Machine& machine) {
    if (!machine.is_damaged() || machine.is_healed()) return "";
    for (uint32_t shard = 0; shard < options_.shards; ++shard) {
        const absl::Status status = DiskCopy::check_readable(machine, shard);
        if (!status.ok() && !absl::IsNotFound(status)) {
            return fmt::format("{} has not noticed what is wrong with its disk: {}",
                               machine.name(),
                               std::string(status.message()));
        }
    }
    return "";
}

std::string Convergence::check_rings() {
    ring_.clear();
    Machine* first = nullptr;
    for (Machine* machine : cluster_.members()) {
        std::optional<absl::StatusOr<std::vector<node::RingPartition>>> answer;
        machine->node().ring([&answer](auto ring) { answer = std::move(ring); });
        scheduler_.run_for(milliseconds(100));
        if (!answer || !answer->ok())
            return fmt::format("{} does not tell its ring", machine->name());
        const std::vector<node::RingPartition>& ring = **answer;
        for (const node::RingPartition& partition : ring) {
            if (!is_placed(partition)) {
                return fmt::format("{} sees partition {} on {} where placement wants {}; {}",
                                   machine->name(),
                                   partition.partition.raw(),
                                   names_of(partition.holders),
                                   names_of(partition.targets),
                                   seats_held(partition.partition));
            }
            if (std::string why_not = check_targets(partition); !why_not.empty()) {
                return fmt::format("{}: {}", machine->name(), why_not);
            }
            if (first == nullptr) continue;
            const node::RingPartition& other = ring_.at(partition.partition.raw());
            if (other.holders != partition.holders || other.targets != partition.targets) {
                return fmt::format("{} and {} see partition {} on different nodes",
                                   first->name(),
                                   machine->name(),
                                   partition.partition.raw());
            }
        }
        if (first != nullptr) continue;
        first = machine;
        ring_ = ring;
        if (ring_.size() != options_.node.partition_count) return "the ring is not whole";
    }
    return "";
}

// On as many nodes as there are, or as there are seats; in as many zones as can be.
std::string Convergence::check_targets(const node::RingPartition& partition) {
    const uint32_t seats = options_.node.seat_count;
    const std::set<base::NodeId> targets(partition.targets.begin(), partition.targets.end());
    std::map<std::string, uint32_t> nodes_by_zone;
    std::map<std::string, uint32_t> targets_by_zone;
    for (Machine* machine : cluster_.members()) {
        ++nodes_by_zone[machine->zone()];
        if (targets.contains(machine->node().id())) ++targets_by_zone[machine->zone()];
    }
    const auto distinct = std::min(seats, static_cast<uint32_t>(cluster_.members().size()));
    const uint32_t most = zone_seats_max(nodes_by_zone, distinct);
    if (partition.targets.size() == seats && targets.size() == distinct &&
        std::ranges::all_of(targets_by_zone,
                            [&](const auto& entry) { return entry.second <= most; })) {
        return "";
    }
    return fmt::format(
        "placement wants the {} seats of partition {} on {}, of {} nodes in {} zones",
        seats,
        partition.partition.raw(),
        names_of(partition.targets),
        cluster_.members().size(),
        nodes_by_zone.size());
}

std::string Convergence::names_of(const std::vector<base::NodeId>& nodes) {
    std::string out;
    for (const base::NodeId node : nodes) {
        std::string name = node.is_none() ? "nobody" : base::to_string(node);
        for (Machine* machine : cluster_.members()) {
            if (machine->node().id() == node) name = machine->name();
        }
        out += (out.empty() ? "" : " ") + name;
    }
    return out;
}

std::string Convergence::seats_held(base::PartitionId partition) {
    std::string out;
    for (Machine* machine : cluster_.members()) {
        const node::ShardInspection inside = inspect(*machine);
        out += fmt::format("{} holds", machine->name());
        for (const node::HeldSeat& held : inside.held) {
            if (held.partition == partition) out += fmt::format(" seat {}", held.seat.raw());
        }
        out += fmt::format(
            ", {} filling, {} fenced in all; ", inside.seats_filling, inside.seats_fenced);
    }
    return out;
}

std::string Convergence::check_replicas(const Reports& reports) {
    std::map<node::GroupId, std::vector<Holder>> groups;
    for (const auto& [machine, report] : reports) {
        node::ShardInspection inside = inspect(*machine);
        if (!inside.trees_ready)
            return fmt::format("{} is rebuilding its hash trees", machine->name());
        uint64_t record_count = 0;
        for (node::GroupInspection& found : inside.groups) {
            const node::GroupId group = found.group;
            record_count += found.records.size();
            if (found.records.empty() && found.summary.frontier.empty()) continue;
            if (!owners_of(ring_.at(group.partition.raw()), group.replicas)
                     .contains(machine->node().id())) {
                return fmt::format(
                    "{} still keeps {} records of partition {} (N={}), which it does not hold, and "
                    "has seen {}",
                    machine->name(),
                    found.records.size(),
                    group.partition.raw(),
                    group.replicas,
                    node::to_string(found.summary.frontier));
            }
            groups[group].push_back({machine, std::move(found.summary), std::move(found.records)});
        }
        if (report.records != record_count) {
            return fmt::format("{} says that it has {} records, and has {}",
                               machine->name(),
                               report.records,
                               record_count);
        }
    }
    for (const auto& [group, holders] : groups) {
        const std::string name = name_of(group);
        const size_t owner_count =
            owners_of(ring_.at(group.partition.raw()), group.replicas).size();
        if (holders.size() != owner_count) {
            return fmt::format("{} is on {} of its {} owners", name, holders.size(), owner_count);
        }
        if (std::string why_not = check_equality(name, holders); !why_not.empty()) return why_not;
        for (const Holder& holder : holders) {
            if (std::string why_not = what_stays(holder.records, holder.summary.frontier);
                !why_not.empty()) {
                return fmt::format("{} on {}: {}", name, holder.machine->name(), why_not);
            }
        }
    }
    return "";
}

std::string Convergence::check_tree(const std::string& name, const Holder& holder) {
    if (holder.summary.buckets == tree_of(holder.records)) return "";
    return fmt::format(
        "{} on {}: the hash tree is not that of its records", name, holder.machine->name());
}

std::string Convergence::check_frontiers(const std::string& name,
                                         const Holder& a,
                                         const Holder& b) {
    if (a.summary.frontier == b.summary.frontier) return "";
    return fmt::format("{}: {} has seen {}, {} has seen {}",
                       name,
                       a.machine->name(),
                       node::to_string(a.summary.frontier),
                       b.machine->name(),
                       node::to_string(b.summary.frontier));
}

std::string Convergence::check_equality(const std::string& name,
                                        const std::vector<Holder>& holders) {
    const Holder& first = holders.front();
    for (const Holder& holder : holders) {
        if (std::string why_not = check_tree(name, holder); !why_not.empty()) return why_not;
        if (!std::ranges::equal(holder.records, first.records, same_record)) {
            return fmt::format("{}: {} and {} have different records{}",
                               name,
                               first.machine->name(),
                               holder.machine->name(),
                               difference(first.records, holder.records));
        }
        if (std::string why_not = check_frontiers(name, first, holder); !why_not.empty()) {
            return why_not;
        }
    }
    return "";
}

std::string Convergence::check_core(const std::vector<Machine*>& core,
                                    const std::vector<node::NamespaceInfo>& name_spaces) {
    std::set<base::NamespaceId> last_wins;
    for (const node::NamespaceInfo& info : name_spaces) {
        if (info.policy == node::ConflictPolicy::last_write_wins) last_wins.insert(info.id);
    }
    // Of each partition, by seat.
    std::map<base::PartitionId, std::map<base::SeatIndex, Machine*>> held;
    std::map<node::GroupId, std::vector<Holder>> groups;
    for (Machine* machine : core) {
        if (!machine->is_up()) return fmt::format("{} is down", machine->name());
        node::ShardInspection inside = inspect(*machine);
        if (!inside.trees_ready)
            return fmt::format("{} is rebuilding its hash trees", machine->name());
        for (const node::HeldSeat& seat : inside.held)
            held[seat.partition][seat.seat] = machine;
        for (node::GroupInspection& found : inside.groups) {
            leave_out_remains(found);
            if (found.records.empty() && found.summary.frontier.empty()) continue;
            const bool is_held = std::ranges::any_of(inside.held, [&](const node::HeldSeat& seat) {
                return seat.partition == found.group.partition &&
                       seat.seat.raw() < found.group.replicas;
            });
            if (!is_held) continue;
            groups[found.group].push_back(
                {machine, std::move(found.summary), std::move(found.records)});
        }
    }
    for (const auto& [group, holders] : groups) {
        const std::string name = name_of(group);
        std::set<Machine*> owners;
        for (const auto& [seat, machine] : held.at(group.partition)) {
            if (seat.raw() < group.replicas) owners.insert(machine);
        }
        if (holders.size() != owners.size()) {
            return fmt::format("{} is on {} of {} owners", name, holders.size(), owners.size());
        }
        const Holder& first = holders.front();
        const ShownDots shown = shown_dots(first.records, last_wins);
        for (const Holder& holder : holders) {
            if (std::string why_not = check_tree(name, holder); !why_not.empty()) return why_not;
            if (std::string why_not = check_frontiers(name, first, holder); !why_not.empty()) {
                return why_not;
            }
            if (shown_dots(holder.records, last_wins) != shown) {
                return fmt::format("{}: {} and {} show different values{}",
                                   name,
                                   first.machine->name(),
                                   holder.machine->name(),
                                   difference(first.records, holder.records));
            }
        }
    }
    return "";
}

std::string Convergence::check_silence() {
    const auto sessions_of = [](const Reports& reports) {
        double sessions = 0;
        for (const auto& [machine, report] : reports) {
            sessions += report.metrics.at("starling_entropy_sessions_total");
        }
        return sessions;
    };
    std::string why_not;
    for (int window = 0; window < silence_windows_max; ++window) {
        Reports before;
        Reports after;
        if (why_not = ask_status(cluster_.members(), before); !why_not.empty()) return why_not;
        scheduler_.run_for(options_.node.entropy_interval + seconds(10));
        if (why_not = ask_status(cluster_.members(), after); !why_not.empty()) return why_not;
        const double more = sessions_of(after) - sessions_of(before);
        if (more == 0) return "";
        why_not = fmt::format("replicas that are equal have pulled {} times", more);
    }
    return why_not;
}

std::string Convergence::note_counts() {
    // A put that was answered long ago may still leave a hint, which is delivered then.
    return wait_until_clear([this]() -> std::string {
        noted_.clear();
        if (std::string why_not = ask_status(cluster_.members(), noted_); !why_not.empty())
            return why_not;
        for (auto& [machine, report] : noted_) {
            // A late frame may have brought one since it told.
            report.hints = inspect(*machine).hints;
            if (report.hints > 0) return fmt::format("{} has hints again", machine->name());
            // One whose timer comes late may leave a hint yet, when its node stops.
            if (report.metrics.at("starling_inflight_bytes") > 0)
                return fmt::format("{} has requests under way", machine->name());
        }
        return "";
    });
}

std::string Convergence::check_counts() {
    for (const auto& [machine, report] : noted_) {
        DiskCopy::Counts found;
        for (uint32_t shard = 0; shard < options_.shards; ++shard) {
            const auto disk = DiskCopy::open(*machine, shard);
            const auto counts = disk.ok() ? (*disk)->counts() : disk.status();
            if (!counts.ok()) {
                return fmt::format("the disk of {} cannot be read: {}",
                                   machine->name(),
                                   counts.status().ToString());
            }
            found.hints += counts->hints;
            found.tombstones += counts->tombstones;
            found.tombstones_listed += counts->tombstones_listed;
        }
        const auto tombstones = static_cast<uint64_t>(report.metrics.at("starling_tombstones"));
        if (report.hints != found.hints || tombstones != found.tombstones ||
            tombstones != found.tombstones_listed) {
            return fmt::format(
                "{} said that it had {} hints and {} tombstones; on its disk are {} hints, and {} "
                "tombstones in records, {} in its list",
                machine->name(),
                report.hints,
                tombstones,
                found.hints,
                found.tombstones,
                found.tombstones_listed);
        }
    }
    return "";
}

void Convergence::inspect_replicas(
    Oracle& oracle, const std::function<base::NamespaceId(KeyIndex)>& name_space_of) {
    // Live values by group and group key.
    using Contents = std::map<std::pair<node::GroupId, std::string>, std::vector<std::string>>;
    for (Machine* machine : cluster_.members()) {
        Contents contents;
        for (const node::GroupInspection& found : inspect(*machine).groups) {
            for (const node::KeyRecord& record : found.records) {
                std::vector<std::string>& values = contents[{found.group, record.key}];
                for (const node::Sibling& sibling : record.record.siblings) {
                    if (!sibling.is_tombstone && !record.record.is_hidden(sibling)) {
                        values.push_back(sibling.value);
                    }
                }
            }
        }
        for (size_t i = 0; i < oracle.key_count(); ++i) {
            const KeyIndex key = Oracle::nth_key(i);
            const Oracle::Key& wanted = oracle.key(key);
            const node::GroupId group{.partition = wanted.partition,
                                      .replicas = static_cast<uint8_t>(wanted.replicas)};
            if (!owners_of(ring_.at(wanted.partition.raw()), wanted.replicas)
                     .contains(machine->node().id()))
                continue;
            oracle.replica_inspected(
                key,
                contents[{group, node::group_key(name_space_of(key), wanted.key)}],
                machine->name(),
                scheduler_.now());
        }
    }
}

}  // namespace starling::sim
