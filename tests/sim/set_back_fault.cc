// A disk that is set back in time (29): a machine loses its power and starts from a copy of its
// disk that was made a while before.
//
// What is promised of that (docs/guarantees.md) holds for one disk at a time, and where other
// holders remember what the node has told them since, and one of them answers soon after its start.
// So it comes when all machines are up and well, and nothing else goes on; and only when each
// partition that loses something is one of which somebody's disk remembers more than the copy has.

#include <map>
#include <set>

#include <fmt/format.h>

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
// Until then a node that is up may not have asked yet.
constexpr base::Duration settled_after = seconds(5);

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
        if (image_ == nullptr) copy(random);
        return calm_wanted() > base::Duration::zero() ? set_back(random) : "";
    }

  private:
    void copy(env::SimRandom& random) {
        if (!are_all_well()) return;
        const MachineList machines = shuffled(world_.cluster, random);
        const auto hit = std::ranges::find_if(machines, [&](Machine* machine) {
            return world_.cluster.is_member(*machine) && !has_two_seats(*machine, world_.options);
        });
        if (hit == machines.end()) return;
        hit_ = *hit;
        image_ = hit_->files().clone_after_crash();
        due_ = world_.scheduler.now() +
               random.between(seconds(3), seconds(random.below(2) > 0 ? 60 : 10));
        world_.trace.add("the disk of {} is copied, to be set back to", hit_->name());
    }

    std::string set_back(env::SimRandom& random) {
        if (!are_all_well() || !world_.cluster.is_member(*hit_) ||
            has_two_seats(*hit_, world_.options) || !would_be_noticed()) {
            due_ = world_.scheduler.now() + seconds(3);
            // As far back as seats have moved nothing is promised.
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
            node::ShardInspection inside;
            machine->node().inspect(inside);
            return inside.trees_ready && inside.seats_filling + inside.seats_fenced == 0;
        });
    }

    bool would_be_noticed() const {
        for (uint32_t shard = 0; shard < world_.options.shards; ++shard) {
            const auto now = DiskCopy::open(*hit_, shard);
            const auto then = DiskCopy::open(*image_, shard);
            if (!now.ok() || !then.ok()) return false;
            const auto seats_now = (*now)->all_seats();
            const auto seats_then = (*then)->all_seats();
            const auto seen_now = (*now)->frontiers();
            const auto seen_then = (*then)->frontiers();
            if (!seats_now.ok() || !seats_then.ok() || !seen_now.ok() || !seen_then.ok() ||
                *seats_now != *seats_then) {
                return false;
            }
            std::set<base::PartitionId> lost = partitions_ahead(*seen_now, *seen_then);
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
        if (world_.scheduler.now() < up_since_ + settled_after) return false;
        for (uint32_t partition = 0; partition < world_.options.node.partition_count; ++partition) {
            if (hit_->node().is_refilling(base::PartitionId(static_cast<uint16_t>(partition))))
                return false;
        }
        return true;
    }

    static constexpr int tries_max = 10;

    Machine* hit_ = nullptr;
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
