// A disk that is set back in time (29): a machine loses its power and starts from a copy of its
// disk that was made a while before.
//
// What is promised of that (docs/guarantees.md) holds for one disk at a time, and where other
// holders remember what the node has told them since, and one of them answers soon after its start.
// So it comes when all machines are up and well, and nothing else goes on; and only when each
// partition that loses something is one of which somebody's disk remembers more than the copy has,
// or one in which the copy lacks a seat that the node holds.

#include <map>
#include <set>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "node/handover/seat.h"
#include "node/server/inspect.h"
#include "tests/sim/disk_copy.h"
#include "tests/sim/fault_support.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel watch_label("sim.set back");

// What a start needs to ask the others, twice if its start counter was set back, too.
constexpr base::Duration calm_after = seconds(15);
constexpr base::Duration look_again_after = milliseconds(500);
constexpr base::Duration look_for_joiner_after = milliseconds(20);
// Until then a node that is up may not have asked yet.
constexpr base::Duration settled_after = seconds(5);

using AllSeats = std::map<base::PartitionId, node::SeatRecords>;

absl::StatusOr<AllSeats> seats_on(DiskCopy& disk, base::ClusterId cluster, uint8_t seat_count) {
    STARLING_ASSIGN_OR_RETURN(const auto stored, disk.all_seats());
    AllSeats seats;
    for (const auto& [partition, value] : stored) {
        STARLING_ASSIGN_OR_RETURN(seats[partition],
                                  node::decode_seat_records(value, cluster, seat_count));
    }
    return seats;
}

bool has_forgotten(const node::SeatRecord& record, const node::Epoch& epoch) {
    return !record.highest.has_value() || *record.highest < epoch;
}

std::set<base::PartitionId> partitions_ahead(const std::map<node::GroupId, node::Frontier>& of,
                                             const std::map<node::GroupId, node::Frontier>& than) {
    std::set<base::PartitionId> ahead;
    for (const auto& [group, frontier] : of) {
        const auto other = than.find(group);
        if (other == than.end() ? !frontier.empty() : !other->second.contains(frontier))
            ahead.insert(group.partition);
    }
    return ahead;
}

class SetBackDisk final : public WorldFault {
  public:
    using WorldFault::WorldFault;
    ~SetBackDisk() override { world_.scheduler.drop_context(this); }

    std::string_view name() const override { return "set-back disk"; }
    base::Duration calm_wanted() const override {
        const bool is_due = image_ != nullptr && world_.scheduler.now() >= due_;
        return is_due ? calm_after : base::Duration::zero();
    }
    std::string begin(env::SimRandom& random, base::Duration) override {
        if (!std::exchange(has_begun_, true) && random.below(2) > 0) wait_for_joiner(random);
        if (image_ == nullptr && !waits_for_joiner_) copy(random);
        return calm_wanted() > base::Duration::zero() ? set_back(random) : "";
    }

  private:
    void copy(env::SimRandom& random) {
        if (!are_all_well()) return;
        const MachineList machines = shuffled(world_.cluster, random);
        const auto hit = std::ranges::find_if(machines, [this](Machine* machine) {
            return world_.cluster.is_member(*machine) && !has_two_seats(*machine, world_.options);
        });
        if (hit != machines.end()) copy_of(**hit, random);
    }

    // A node that has joined and holds no seat yet is one for a moment only.
    void wait_for_joiner(env::SimRandom& random) {
        std::vector<Machine*> outside;
        for (const auto& each : world_.cluster.machines()) {
            if (!world_.cluster.is_member(*each)) outside.push_back(each.get());
        }
        waits_for_joiner_ = !outside.empty();
        look_for_joiner(std::move(outside), random);
    }

    void look_for_joiner(std::vector<Machine*> outside, env::SimRandom& random) {
        for (Machine* const machine : outside) {
            if (!machine->is_up() || !world_.cluster.is_member(*machine)) continue;
            const node::ShardInspection found = inside(*machine);
            if (found.seats_filling == 0 || !found.held.empty()) continue;
            waits_for_joiner_ = false;
            return copy_of(*machine, random);
        }
        if (!waits_for_joiner_) return;
        world_.scheduler.schedule_after(
            look_for_joiner_after,
            {.owner = env::no_owner,
             .context = this,
             .label = &watch_label,
             .task = [this, outside = std::move(outside), &random]() mutable {
                 look_for_joiner(std::move(outside), random);
             }});
    }

    void copy_of(Machine& machine, env::SimRandom& random) {
        hit_ = &machine;
        image_ = hit_->files().clone_after_crash();
        due_ = world_.scheduler.now() +
               random.between(seconds(3), seconds(random.below(2) > 0 ? 60 : 10));
        world_.trace.add("the disk of {} is copied, to be set back to", hit_->name());
    }

    std::string set_back(env::SimRandom& random) {
        if (!are_all_well() || do_seats_move() || !world_.cluster.is_member(*hit_) ||
            has_two_seats(*hit_, world_.options) || !would_be_noticed()) {
            due_ = world_.scheduler.now() + seconds(3);
            // As far back as seats have been given away nothing is promised.
            if (++tries_ < tries_max) return "";
            tries_ = 0;
            image_.reset();
            return "";
        }
        tries_ = 0;
        // Mostly back before the others have made up for what they missed.
        const base::Duration down = random.below(3) > 0
                                        ? random.between(milliseconds(1), milliseconds(50))
                                        : random.between(milliseconds(50), seconds(2));
        world_.cluster.crash(*hit_, env::CrashMode::lost, down);
        hit_->set_back(*image_);
        // Of the machine that was hit before.
        life_ = 0;
        image_.reset();
        watch();
        return fmt::format("{} starts from the copy", hit_->name());
    }

    bool are_all_well() const {
        return std::ranges::all_of(world_.cluster.machines(), [&](const auto& machine) {
            // It has not joined yet.
            if (!world_.cluster.is_known(*machine)) return true;
            if (!machine->is_up() || machine->is_paused() || machine->is_set_back() ||
                !world_.cluster.is_member(*machine) || machine->node().is_healing() ||
                (machine->is_damaged() && !machine->is_healed())) {
                return false;
            }
            return inside(*machine).trees_ready;
        });
    }

    bool do_seats_move() const {
        return std::ranges::any_of(world_.cluster.members(), [](Machine* machine) {
            return inside(*machine).seats_filling + inside(*machine).seats_fenced > 0;
        });
    }

    static node::ShardInspection inside(Machine& machine) {
        node::ShardInspection found;
        machine.node().inspect(found);
        return found;
    }

    // False where a seat has gone another way since than from nothing to being held.
    bool note_forgotten(const AllSeats& now, const AllSeats& then) {
        for (const auto& [partition, records] : now) {
            const node::SeatRecords blank(records.size());
            const auto found = then.find(partition);
            const node::SeatRecords& older = found == then.end() ? blank : found->second;
            for (size_t seat = 0; seat < records.size(); ++seat) {
                const node::SeatRecord& held = records[seat];
                const node::SeatRecord& before = older[seat];
                if (before == held) continue;
                const bool is_before_all =
                    !before.highest.has_value() && (before.state == node::SeatState::none ||
                                                    before.state == node::SeatState::filling);
                if (held.state != node::SeatState::holding || !is_before_all) return false;
                forgotten_[partition] = records;
            }
        }
        return std::ranges::all_of(then,
                                   [&](const auto& entry) { return now.contains(entry.first); });
    }

    bool would_be_noticed() {
        const base::ClusterId cluster = hit_->node().cluster();
        const auto seat_count = static_cast<uint8_t>(world_.options.node.seat_count);
        forgotten_.clear();
        for (uint32_t shard = 0; shard < world_.options.shards; ++shard) {
            const auto now = DiskCopy::open(*hit_, shard);
            const auto then = DiskCopy::open(*image_, shard);
            if (!now.ok() || !then.ok()) return false;
            const auto seats_now = seats_on(**now, cluster, seat_count);
            const auto seats_then = seats_on(**then, cluster, seat_count);
            const auto seen_now = (*now)->frontiers();
            const auto seen_then = (*then)->frontiers();
            if (!seats_now.ok() || !seats_then.ok() || !seen_now.ok() || !seen_then.ok()) {
                return false;
            }
            if (!note_forgotten(*seats_now, *seats_then)) return false;
            std::set<base::PartitionId> lost = partitions_ahead(*seen_now, *seen_then);
            for (const auto& [partition, records] : forgotten_) {
                lost.erase(partition);
            }
            for (Machine* const other : world_.cluster.members()) {
                if (other == hit_ || lost.empty()) continue;
                const auto disk = DiskCopy::open(*other, shard);
                if (!disk.ok()) return false;
                const auto told = (*disk)->told_by(hit_->node().id());
                if (!told.ok()) return false;
                for (const base::PartitionId noticed : partitions_ahead(*told, *seen_then))
                    lost.erase(noticed);
            }
            if (!lost.empty()) return false;
        }
        return true;
    }

    // Until it has again what it had told.
    void watch() {
        world_.scheduler.schedule_after(
            look_again_after,
            {.owner = env::no_owner, .context = this, .label = &watch_label, .task = [this] {
                 if (!has_settled()) return watch();
                 hit_->caught_up();
             }});
    }

    bool has_settled() {
        if (!hit_->is_up()) return false;
        if (hit_->lives() != life_) {
            life_ = hit_->lives();
            up_since_ = world_.scheduler.now();
        }
        if (world_.scheduler.now() < up_since_ + settled_after || !holds_again()) return false;
        for (uint32_t partition = 0; partition < world_.options.node.partition_count; ++partition) {
            if (hit_->node().is_refilling(base::PartitionId(static_cast<uint16_t>(partition))))
                return false;
        }
        return true;
    }

    // Or has given away since.
    bool holds_again() const {
        const auto seat_count = static_cast<uint8_t>(world_.options.node.seat_count);
        return std::ranges::all_of(forgotten_, [&](const auto& entry) {
            const auto& [partition, records] = entry;
            const auto disk = DiskCopy::open(*hit_, partition.raw() % world_.options.shards);
            if (!disk.ok()) return false;
            const auto seats = seats_on(**disk, hit_->node().cluster(), seat_count);
            if (!seats.ok() || !seats->contains(partition)) return false;
            for (size_t seat = 0; seat < records.size(); ++seat) {
                if (records[seat].state == node::SeatState::holding &&
                    has_forgotten(seats->at(partition)[seat], records[seat].epoch)) {
                    return false;
                }
            }
            return true;
        });
    }

    static constexpr int tries_max = 10;

    bool has_begun_ = false;
    bool waits_for_joiner_ = false;
    Machine* hit_ = nullptr;
    // Of which the copy lacks a seat that was held, as the disk had them.
    AllSeats forgotten_;
    std::unique_ptr<env::SimFileSystem> image_;
    env::SimTime due_{0};
    int tries_ = 0;
    uint64_t life_ = 0;
    env::SimTime up_since_{0};
};

}  // namespace

void add_set_back_fault(const FaultWorld& world, FaultList& faults) {
    if (world.options.faults.set_back_disks) faults.push_back(std::make_unique<SetBackDisk>(world));
}

}  // namespace starling::sim
