#include "node/entropy/records.h"

#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/status_macros.h"

namespace starling::node {

namespace {

constexpr size_t group_key_bytes_min = 8;

}  // namespace

void put_records(const std::vector<KeyRecord>& records,
                 google::protobuf::RepeatedPtrField<peer::EntropyRecord>& out) {
    for (const KeyRecord& record : records) {
        peer::EntropyRecord* added = out.Add();
        added->set_key(record.key);
        encode_record(*added->mutable_record(), record.record);
    }
}

size_t size_of(const peer::EntropyRecord& record) {
    return record.key().size() + record.record().size();
}

absl::StatusOr<std::vector<KeyRecord>> read_records(
    const google::protobuf::RepeatedPtrField<peer::EntropyRecord>& in) {
    std::vector<KeyRecord> records;
    records.reserve(static_cast<size_t>(in.size()));
    for (const peer::EntropyRecord& entry : in) {
        if (entry.key().size() < group_key_bytes_min) {
            return absl::InvalidArgumentError("a group key without a namespace");
        }
        absl::StatusOr<Record> record = decode_record(entry.record());
        if (!record.ok()) {
            return absl::InvalidArgumentError(fmt::format("a record that does not decode: {}",
                                                          std::string(record.status().message())));
        }
        records.push_back({.key = entry.key(), .record = *std::move(record)});
    }
    return records;
}

SummaryHashes hashes_of(const GroupSummary& summary) {
    std::string frontier;
    summary.frontier.encode(frontier);
    // Little-endian in memory, as they would be encoded.
    static_assert(std::endian::native == std::endian::little);
    const std::string_view buckets(reinterpret_cast<const char*>(summary.buckets.data()),
                                   sizeof(summary.buckets));
    return {.frontier = base::xxh3_64(frontier), .root = base::xxh3_64(buckets)};
}

void put_summary(const GroupSummary& summary, peer::EntropySummary& out) {
    summary.frontier.encode(*out.mutable_frontier());
    out.mutable_buckets()->Add(summary.buckets.begin(), summary.buckets.end());
}

absl::StatusOr<GroupSummary> read_summary(const peer::EntropySummary& in) {
    GroupSummary summary;
    base::Reader reader(in.frontier());
    summary.frontier = Frontier::decode(reader);
    if (!reader.finished()) {
        return absl::InvalidArgumentError("a frontier that does not decode");
    }
    if (static_cast<size_t>(in.buckets_size()) != bucket_count) {
        return absl::InvalidArgumentError(fmt::format("{} buckets", in.buckets_size()));
    }
    std::copy(in.buckets().begin(), in.buckets().end(), summary.buckets.begin());
    return summary;
}

}  // namespace starling::node
