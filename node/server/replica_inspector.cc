#include "node/server/replica_inspector.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/hash.h"
#include "node/replica/seen_claim.h"

namespace starling::node {

namespace {

constexpr uint32_t serving_max = 4;
constexpr size_t keys_max = 256;
// Of one key: more lives of nodes than write one.
constexpr size_t seen_max = 4096;
constexpr size_t frontiers_max = 16;
constexpr size_t frontier_bytes_max = size_t{1} << 20;
constexpr size_t page_bytes_max = size_t{256} << 10;
// Of records that were asked for by name; passed by one of them.
constexpr uint64_t read_bytes_max = uint64_t{4} << 20;

absl::Status invalid(std::string_view what) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_request, what);
}

// In order, in which each of them is added at the end.
Context context_of(std::vector<Dot> dots) {
    std::ranges::sort(dots);
    Context context;
    for (const Dot& dot : dots) {
        context.add(dot);
    }
    return context;
}

InspectedKey describe(const std::string& key, const Record& record) {
    InspectedKey out;
    out.key = key;
    if (record == Record{}) {
        return out;
    }
    out.digest = leaf_digest(key, record);
    for (const Context::Entry& entry : record.context.entries()) {
        out.context.push_back({.actor = entry.actor, .sequence = entry.sequence});
    }
    for (const Sibling& sibling : record.siblings) {
        out.versions.push_back({.dot = sibling.dot,
                                .time = sibling.time,
                                .is_tombstone = sibling.is_tombstone,
                                .is_hidden = record.is_hidden(sibling),
                                .value_bytes = sibling.value.size(),
                                .value_hash = base::xxh3_64(sibling.value)});
    }
    return out;
}

// About what its record takes where it is stored.
uint64_t bytes_of(const InspectedKey& key) {
    uint64_t bytes = key.key.size();
    for (const InspectedVersion& version : key.versions) {
        bytes += version.value_bytes;
    }
    return bytes;
}

absl::StatusOr<InspectResult> result_of(const GroupSummary& own,
                                        const std::vector<std::string>& frontiers) {
    InspectResult result;
    result.buckets.assign(own.buckets.begin(), own.buckets.end());
    own.frontier.encode(result.frontier);
    for (const std::string& frontier : frontiers) {
        base::Reader reader(frontier);
        const Frontier asked = Frontier::decode(reader);
        if (!reader.finished()) {
            return invalid("frontiers: one of them does not decode");
        }
        result.has_seen.push_back(own.frontier.contains_unsealed(asked));
    }
    return result;
}

InspectResult result_of(ListingPage page) {
    InspectResult result;
    result.up_to = std::move(page.up_to);
    result.bytes_read = page.bytes_read;
    for (KeyDigest& key : page.keys) {
        InspectedKey& listed = result.keys.emplace_back();
        listed.key = std::move(key.key);
        listed.digest = key.digest;
    }
    return result;
}

}  // namespace

// One record at a time: together they may be larger than what the node has memory for.
struct ReplicaInspector::Reading {
    GroupId group;
    std::vector<InspectRequest::Key> keys;
    InspectResult result;
    AdminService::Callback<InspectResult> done;
};

absl::Status ReplicaInspector::check(const InspectRequest& request) const {
    if (request.keys.size() > keys_max) {
        return invalid(fmt::format("keys: {}, the limit is {}", request.keys.size(), keys_max));
    }
    for (const InspectRequest::Key& key : request.keys) {
        if (key.key.size() <= sizeof(uint64_t)) {
            return invalid("keys: one of them names no namespace and key");
        }
        if (key.seen.size() > seen_max) {
            return invalid(fmt::format(
                "keys.seen: {} of one key, the limit is {}", key.seen.size(), seen_max));
        }
    }
    if (request.frontiers.size() > frontiers_max) {
        return invalid(
            fmt::format("frontiers: {}, the limit is {}", request.frontiers.size(), frontiers_max));
    }
    for (const std::string& frontier : request.frontiers) {
        if (frontier.size() > frontier_bytes_max) {
            return invalid(fmt::format("frontiers: one of {} bytes, the limit is {}",
                                       frontier.size(),
                                       frontier_bytes_max));
        }
    }
    if (!request.buckets.empty() && !decode_bucket_set(request.buckets).has_value()) {
        return invalid(fmt::format("buckets: not a set of {}", bucket_count));
    }
    return absl::OkStatus();
}

absl::Status ReplicaInspector::check_seat(GroupId group) const {
    if (!host_.held_seats(group.partition).below(group.replicas).empty()) {
        return absl::OkStatus();
    }
    return base::make_error(
        absl::StatusCode::kUnavailable,
        base::reason::no_owner,
        "this node holds no seat of partition " + base::to_string(group.partition));
}

void ReplicaInspector::inspect(InspectRequest request, AdminService::Callback<InspectResult> done) {
    const GroupId group{request.partition, static_cast<uint8_t>(request.replicas)};
    absl::Status status = check(request);
    status.Update(check_seat(group));
    if (status.ok() && serving_ >= serving_max) {
        status = base::make_error(absl::StatusCode::kResourceExhausted,
                                  base::reason::overloaded,
                                  "too many inspections at once: try again in 100 ms");
    }
    if (!status.ok()) {
        done(std::move(status));
        return;
    }
    // What is told is this node's only if it still holds the seat, with the same data, when it is
    // told.
    auto answer = [this, group, drops = store_.drop_count(group), done = std::move(done)](
                      absl::StatusOr<InspectResult> result) mutable {
        --serving_;
        absl::Status held = check_seat(group);
        if (held.ok() && store_.drop_count(group) != drops) {
            held = base::make_error(absl::StatusCode::kUnavailable,
                                    base::reason::no_owner,
                                    "this node has given its seat away meanwhile");
        }
        if (held.ok()) {
            done(std::move(result));
        } else {
            done(std::move(held));
        }
    };
    ++serving_;
    if (!request.keys.empty()) {
        auto reading = std::make_shared<Reading>();
        reading->group = group;
        reading->keys = std::move(request.keys);
        reading->done = std::move(answer);
        read_next(reading);
    } else if (!request.buckets.empty()) {
        store_.list_buckets(group,
                            *decode_bucket_set(request.buckets),
                            std::move(request.after),
                            page_bytes_max,
                            [answer = std::move(answer)](absl::StatusOr<ListingPage> page) mutable {
                                if (page.ok()) {
                                    answer(result_of(*std::move(page)));
                                } else {
                                    answer(std::move(page).status());
                                }
                            });
    } else {
        const absl::StatusOr<GroupSummary> summary = store_.summary(group);
        if (!summary.ok()) {
            answer(summary.status());
            return;
        }
        answer(result_of(*summary, request.frontiers));
    }
}

void ReplicaInspector::read_next(const std::shared_ptr<Reading>& reading) {
    const size_t next = reading->result.keys.size();
    if (next == reading->keys.size() || reading->result.bytes_read >= read_bytes_max) {
        reading->done(std::move(reading->result));
        return;
    }
    InspectRequest::Key& key = reading->keys[next];
    Context seen = context_of(std::move(key.seen));
    const SeenClaim claim(store_, reading->group, seen);
    store_.fetch(reading->group,
                 {key.key},
                 [this, reading, claim, seen = std::move(seen)](
                     const absl::StatusOr<std::vector<KeyRecord>>& records) {
                     if (!records.ok()) {
                         reading->done(records.status());
                         return;
                     }
                     const Record record = records->empty() ? Record{} : records->front().record;
                     const size_t at = reading->result.keys.size();
                     InspectedKey& found =
                         reading->result.keys.emplace_back(describe(reading->keys[at].key, record));
                     found.reflects_seen = record.context.covers(seen) || claim.holds(store_);
                     reading->result.bytes_read += bytes_of(found);
                     read_next(reading);
                 });
}

}  // namespace starling::node
