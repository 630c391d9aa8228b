#include "node/server/conflict_scan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "node/coordinator/conflict_policy.h"
#include "node/server/shard.h"

namespace starling::node {

namespace {

constexpr size_t scan_bytes = size_t{256} << 10;

absl::Status invalid(std::string_view message) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_request, message);
}

absl::Status check(const ConflictQuery& query, const ClusterView& view) {
    if (query.keys_max < 1 || query.keys_max > conflicts_page_max) {
        return invalid(fmt::format(
            "keys_max is {} and must lie in 1 .. {}", query.keys_max, conflicts_page_max));
    }
    if (query.from.partition.raw() >= view.partition_count) {
        return invalid(fmt::format("partition {} is none of this cluster's {}",
                                   query.from.partition.raw(),
                                   view.partition_count));
    }
    if (!view.namespaces.contains(query.name_space)) {
        return base::make_error(
            absl::StatusCode::kNotFound,
            base::reason::unknown_namespace,
            fmt::format("there is no namespace '{}'", query.name_space.substr(0, 64)));
    }
    return absl::OkStatus();
}

}  // namespace

void ConflictScan::start(const ClusterView& view, ConflictQuery query, Shards shards, Done done) {
    if (absl::Status status = check(query, view); !status.ok()) {
        done(std::move(status));
        return;
    }
    const NamespaceInfo info = view.namespaces.at(query.name_space);
    const std::shared_ptr<ConflictScan> scan(new ConflictScan(
        info, view.partition_count, std::move(query), std::move(shards), std::move(done)));
    scan->go_on();
}

ConflictScan::ConflictScan(
    NamespaceInfo info, uint32_t partition_count, ConflictQuery query, Shards shards, Done done)
    : info_(std::move(info)),
      partition_count_(partition_count),
      keys_max_(query.keys_max),
      shards_(std::move(shards)),
      done_(std::move(done)),
      partition_(query.from.partition.raw()),
      key_(std::move(query.from.key)) {}

bool ConflictScan::is_page_full() const {
    return page_.keys.size() >= keys_max_ || bytes_left_ == 0 || partitions_left_ == 0;
}

void ConflictScan::go_on() {
    if (partition_ >= partition_count_ || is_page_full()) {
        finish();
        return;
    }
    shards_.on_shard(partition_ % shards_.shard_count,
                     [self = shared_from_this()](Shard& shard) { self->search(shard); });
}

void ConflictScan::search(Shard& shard) {
    const base::PartitionId partition(static_cast<uint16_t>(partition_));
    const auto replicas = static_cast<uint8_t>(info_.replicas);
    now_ms_ = shard.wall_ms();
    if (shard.counted_seats(partition).below(replicas).empty()) {
        next_partition();
        go_on();
        return;
    }
    const GroupId group{partition, replicas};
    shard.data().scan(
        group,
        {.from = group_key(info_.id, key_), .end = group_keys_end(info_.id)},
        std::min(scan_bytes, bytes_left_),
        [self = shared_from_this(), &shard, group, drops = shard.data().drop_count(group)](
            absl::StatusOr<ScanPage> page) {
            const SeatSet seats = shard.counted_seats(group.partition).below(group.replicas);
            if (seats.empty() || shard.data().drop_count(group) != drops) {
                STARLING_MARK(conflict_scan_lost_its_seat);
                self->next_partition();
                self->go_on();
                return;
            }
            self->take(std::move(page));
        });
}

void ConflictScan::take(absl::StatusOr<ScanPage> page) {
    if (!page.ok()) {
        std::exchange(done_, nullptr)(std::move(page).status());
        return;
    }
    bytes_left_ -= std::min(bytes_left_, page->bytes);
    bool is_done = page->next.empty();
    if (!is_done) {
        key_ = split_group_key(page->next).key;
    }
    for (const KeyRecord& record : page->records) {
        look_at(record);
        if (page_.keys.size() >= keys_max_) {
            // The least key after this one.
            key_ = page_.keys.back().key + '\0';
            is_done = false;
            break;
        }
    }
    if (is_done) {
        page_.partitions.emplace_back(static_cast<uint16_t>(partition_));
        next_partition();
    }
    go_on();
}

void ConflictScan::look_at(const KeyRecord& record) {
    const std::vector<const Sibling*> values = shown_values(record.record, info_.policy, now_ms_);
    if (values.size() > 1) {
        ConflictedKey& found = page_.keys.emplace_back();
        found.partition = base::PartitionId(static_cast<uint16_t>(partition_));
        found.key = std::string(split_group_key(record.key).key);
        found.siblings = static_cast<uint32_t>(values.size());
        for (const Sibling* value : values) {
            found.value_bytes += value->value.size();
            found.latest = std::max(found.latest, value->time);
        }
    }
}

void ConflictScan::next_partition() {
    ++partition_;
    --partitions_left_;
    key_.clear();
}

void ConflictScan::finish() {
    if (partition_ < partition_count_) {
        page_.next = ConflictCursor{
            .partition = base::PartitionId(static_cast<uint16_t>(partition_)), .key = key_};
    }
    std::exchange(done_, nullptr)(std::move(page_));
}

}  // namespace starling::node
