#pragma once

// What one shard of a machine would find on its disk after a power cut at this moment that takes
// all that is not synced. The copy is opened with the real engine; the machine, up or down, does
// not notice: neither its files nor its counters nor any random stream are touched.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "node/handover/seat.h"
#include "node/replica/group.h"
#include "node/replica/storage_keys.h"
#include "node/version/record.h"
#include "storage/engine.h"
#include "tests/sim/machine.h"

namespace starling::sim {

class DiskCopy {
  public:
    // Without what has rotted on the disk. not_found: there is no such shard on it. Else as
    // storage::open_engine().
    static absl::StatusOr<std::unique_ptr<DiskCopy>> open(Machine& machine, uint32_t shard);
    // Of a disk that was copied already.
    static absl::StatusOr<std::unique_ptr<DiskCopy>> open(const env::SimFileSystem& disk,
                                                          uint32_t shard);
    // data_loss: something on the disk cannot be read, as it is.
    static absl::Status check_readable(Machine& machine, uint32_t shard);

    // An empty record for an absent key.
    absl::StatusOr<node::Record> record(node::GroupId group, const std::string& group_key);
    absl::StatusOr<node::Frontier> frontier(node::GroupId group);
    absl::Status for_each_record(
        node::GroupId group,
        const std::function<void(std::string_view group_key, node::Record)>& use);
    absl::Status for_each_indexed_dot(
        node::GroupId group,
        const std::function<void(const node::Dot&, std::string_view group_key)>& use);
    // Below N.
    struct Seats {
        // The node holds them, or has fenced them and still keeps their data.
        node::SeatSet answered_for;
        // There are others that it held once, or declined.
        bool has_former = false;
    };
    absl::StatusOr<Seats> seats(node::GroupId group, base::ClusterId cluster, uint8_t seat_count);
    struct Counts {
        uint64_t hints = 0;
        // In records, and in the list of those that may be collected.
        uint64_t tombstones = 0;
        uint64_t tombstones_listed = 0;
    };
    // Of all groups.
    absl::StatusOr<Counts> counts();
    absl::StatusOr<std::map<node::GroupId, node::Frontier>> frontiers();
    // Of each group, what the owner is remembered to have told.
    absl::StatusOr<std::map<node::GroupId, node::Frontier>> told_by(base::NodeId owner);
    // Of all partitions, as they are stored.
    absl::StatusOr<std::map<base::PartitionId, std::string>> all_seats();
    // It was given up there, and is being refilled.
    absl::StatusOr<bool> is_marked(base::PartitionId partition);
    // The seats that whole copies of this write are kept for, as hints.
    absl::StatusOr<node::SeatSet> hinted(node::GroupId group,
                                         const std::string& group_key,
                                         const node::Dot& dot);

  private:
    class NoWorkers;

    absl::Status for_each_key(
        const std::string& lower,
        const std::string& upper,
        const std::function<absl::Status(std::string_view key, std::string_view value)>& use);
    explicit DiskCopy(std::unique_ptr<env::SimFileSystem> files);
    absl::Status open_engine(uint32_t shard);

  public:
    ~DiskCopy();
    DiskCopy(const DiskCopy&) = delete;
    DiskCopy& operator=(const DiskCopy&) = delete;

  private:
    std::unique_ptr<env::SimFileSystem> files_;
    std::unique_ptr<NoWorkers> workers_;
    std::unique_ptr<storage::Engine> engine_;
};

}  // namespace starling::sim
