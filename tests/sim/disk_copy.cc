#include "tests/sim/disk_copy.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "node/replica/owner_memory.h"
#include "node/replica/wire.h"
#include "node/server/shard_healing.h"
#include "storage/open.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::sim {

// A copy is only looked at: what the engine would do in the background is left undone.
class DiskCopy::NoWorkers final : public env::Workers {
  public:
    void submit(env::Task) override {}
    void submit_after(base::Duration, env::Task) override {}
};

DiskCopy::DiskCopy(std::unique_ptr<env::SimFileSystem> files)
    : files_(std::move(files)), workers_(std::make_unique<NoWorkers>()) {
    // Recovery needs room, which a full disk would give it later.
    files_->set_capacity(uint64_t{1} << 40);
}
DiskCopy::~DiskCopy() = default;

absl::StatusOr<std::unique_ptr<DiskCopy>> DiskCopy::open(Machine& machine, uint32_t shard) {
    std::unique_ptr<DiskCopy> copy(new DiskCopy(machine.files().clone_after_crash()));
    machine.repair(*copy->files_);
    STARLING_RETURN_IF_ERROR(copy->open_engine(shard));
    return copy;
}

absl::StatusOr<std::unique_ptr<DiskCopy>> DiskCopy::open(const env::SimFileSystem& disk,
                                                         uint32_t shard) {
    std::unique_ptr<DiskCopy> copy(new DiskCopy(disk.clone()));
    STARLING_RETURN_IF_ERROR(copy->open_engine(shard));
    return copy;
}

absl::Status DiskCopy::check_readable(Machine& machine, uint32_t shard) {
    DiskCopy copy(machine.files().clone_after_crash());
    STARLING_RETURN_IF_ERROR(copy.open_engine(shard));
    STARLING_ASSIGN_OR_RETURN(const std::vector<storage::KeyRange> lost,
                              copy.engine_->find_damage());
    return lost.empty() ? absl::OkStatus()
                        : absl::DataLossError(fmt::format("{} ranges of keys", lost.size()));
}

absl::Status DiskCopy::open_engine(uint32_t shard) {
    const std::string directory = fmt::format("{}/shard-{}", Machine::data_directory, shard);
    STARLING_ASSIGN_OR_RETURN(const bool is_there, files_->exists(directory + "/CURRENT"));
    if (!is_there) return absl::NotFoundError(directory);
    // Each is read once: a cache would take longer to make than it saves, and so would tables of
    // what the log holds.
    storage::EngineOptions options;
    options.block_cache_bytes = 64u << 10;
    options.read_only = true;
    STARLING_ASSIGN_OR_RETURN(
        engine_,
        storage::open_engine(directory, options, storage::environment(*files_, *workers_)));
    return absl::OkStatus();
}

absl::StatusOr<node::Record> DiskCopy::record(node::GroupId group, const std::string& group_key) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                              engine_->get(node::storage_keys::record(group, group_key)));
    if (!stored.has_value()) return node::Record{};
    return node::decode_record(*stored);
}

absl::Status DiskCopy::for_each_record(
    node::GroupId group, const std::function<void(std::string_view group_key, node::Record)>& use) {
    const std::string lower = node::storage_keys::record_prefix(group);
    const auto iterator = engine_->new_iterator(
        {.lower = lower, .upper = node::storage_keys::prefix_end(lower), .snapshot = nullptr});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto key = node::storage_keys::parse_record(iterator->key());
        if (!key.has_value()) return absl::DataLossError("the key of a record does not decode");
        STARLING_ASSIGN_OR_RETURN(node::Record record, node::decode_record(iterator->value()));
        use(key->group_key, std::move(record));
    }
    return iterator->status();
}

absl::Status DiskCopy::for_each_indexed_dot(
    node::GroupId group,
    const std::function<void(const node::Dot&, std::string_view group_key)>& use) {
    const std::string lower = node::storage_keys::indexed_dots_prefix(group);
    const auto iterator = engine_->new_iterator(
        {.lower = lower, .upper = node::storage_keys::prefix_end(lower), .snapshot = nullptr});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto dot = node::storage_keys::parse_indexed_dot(iterator->key());
        if (!dot.has_value()) return absl::DataLossError("the key of a dot does not decode");
        use(*dot, iterator->value());
    }
    return iterator->status();
}

absl::StatusOr<node::Frontier> DiskCopy::frontier(node::GroupId group) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                              engine_->get(node::storage_keys::frontier(group)));
    if (!stored.has_value()) return node::Frontier();
    return node::wire::decode_frontier(*stored);
}

absl::StatusOr<DiskCopy::Seats> DiskCopy::seats(node::GroupId group,
                                                base::ClusterId cluster,
                                                uint8_t seat_count) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                              engine_->get(node::storage_keys::seats(group.partition)));
    Seats found;
    if (!stored.has_value()) return found;
    STARLING_ASSIGN_OR_RETURN(const node::SeatRecords records,
                              node::decode_seat_records(*stored, cluster, seat_count));
    for (uint8_t seat = 0; seat < group.replicas && seat < records.size(); ++seat) {
        const node::SeatState state = records[seat].state;
        if (state == node::SeatState::holding || state == node::SeatState::fenced) {
            found.answered_for.add(base::SeatIndex(seat));
        } else if (state == node::SeatState::none && records[seat].highest.has_value()) {
            found.has_former = true;
        }
    }
    return found;
}

absl::Status DiskCopy::for_each_key(
    const std::string& lower,
    const std::string& upper,
    const std::function<absl::Status(std::string_view key, std::string_view value)>& use) {
    const auto iterator =
        engine_->new_iterator({.lower = lower, .upper = upper, .snapshot = nullptr});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next())
        STARLING_RETURN_IF_ERROR(use(iterator->key(), iterator->value()));
    return iterator->status();
}

absl::StatusOr<DiskCopy::Counts> DiskCopy::counts() {
    using node::storage_keys::hints_begin;
    using node::storage_keys::hints_end;
    using node::storage_keys::records_begin;
    using node::storage_keys::records_end;
    using node::storage_keys::tombstones_begin;
    using node::storage_keys::tombstones_end;
    Counts counts;
    const auto count_in = [](uint64_t& count) {
        return [&count](std::string_view, std::string_view) {
            ++count;
            return absl::OkStatus();
        };
    };
    STARLING_RETURN_IF_ERROR(for_each_key(hints_begin(), hints_end(), count_in(counts.hints)));
    STARLING_RETURN_IF_ERROR(
        for_each_key(tombstones_begin(), tombstones_end(), count_in(counts.tombstones_listed)));
    STARLING_RETURN_IF_ERROR(for_each_key(
        records_begin(),
        records_end(),
        [&](std::string_view, std::string_view value) -> absl::Status {
            STARLING_ASSIGN_OR_RETURN(const node::Record record, node::decode_record(value));
            counts.tombstones += static_cast<uint64_t>(std::ranges::count_if(
                record.siblings, [](const node::Sibling& each) { return each.is_tombstone; }));
            counts.tombstones += uint64_t{record.siblings.empty() && !record.context.empty()};
            return absl::OkStatus();
        }));
    return counts;
}

absl::StatusOr<std::map<node::GroupId, node::Frontier>> DiskCopy::frontiers() {
    std::map<node::GroupId, node::Frontier> found;
    STARLING_RETURN_IF_ERROR(for_each_key(
        node::storage_keys::frontiers_begin(),
        node::storage_keys::frontiers_end(),
        [&](std::string_view key, std::string_view value) -> absl::Status {
            const auto group = node::storage_keys::parse_frontier(key);
            if (!group.has_value())
                return absl::DataLossError("the key of a frontier does not decode");
            STARLING_ASSIGN_OR_RETURN(found[*group], node::wire::decode_frontier(value));
            return absl::OkStatus();
        }));
    return found;
}

absl::StatusOr<std::map<node::GroupId, node::Frontier>> DiskCopy::told_by(base::NodeId owner) {
    std::map<node::GroupId, node::Frontier> found;
    STARLING_RETURN_IF_ERROR(
        for_each_key(node::storage_keys::owners_begin(),
                     node::storage_keys::owners_end(),
                     [&](std::string_view key, std::string_view value) -> absl::Status {
                         const auto group = node::storage_keys::parse_owners(key);
                         if (!group.has_value())
                             return absl::DataLossError("the key of a memory does not decode");
                         STARLING_ASSIGN_OR_RETURN(node::OwnerMemory::Owners owners,
                                                   node::OwnerMemory::decode(value));
                         if (const auto told = owners.find(owner); told != owners.end())
                             found[*group] = std::move(told->second.frontier);
                         return absl::OkStatus();
                     }));
    return found;
}

absl::StatusOr<std::map<base::PartitionId, std::string>> DiskCopy::all_seats() {
    std::map<base::PartitionId, std::string> found;
    STARLING_RETURN_IF_ERROR(
        for_each_key(node::storage_keys::seats_begin(),
                     node::storage_keys::seats_end(),
                     [&](std::string_view key, std::string_view value) -> absl::Status {
                         const auto partition = node::storage_keys::parse_seats(key);
                         if (!partition.has_value())
                             return absl::DataLossError("the key of seats does not decode");
                         found[*partition] = std::string(value);
                         return absl::OkStatus();
                     }));
    return found;
}

absl::StatusOr<bool> DiskCopy::is_marked(base::PartitionId partition) {
    STARLING_ASSIGN_OR_RETURN(const std::set<base::PartitionId> marked,
                              node::ShardHealing::marked_in(*engine_));
    return marked.contains(partition);
}

absl::StatusOr<node::SeatSet> DiskCopy::hinted(node::GroupId group,
                                               const std::string& group_key,
                                               const node::Dot& dot) {
    node::SeatSet found;
    for (uint8_t seat = 0; seat < group.replicas; ++seat) {
        STARLING_ASSIGN_OR_RETURN(
            const std::optional<std::string> hint,
            engine_->get(node::storage_keys::hint(
                {.group = group, .seat = base::SeatIndex(seat), .dot = dot, .key = group_key})));
        // An empty one only refers to the node's own record.
        if (hint.has_value() && !hint->empty()) found.add(base::SeatIndex(seat));
    }
    return found;
}

}  // namespace starling::sim
