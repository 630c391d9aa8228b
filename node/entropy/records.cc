#include "node/entropy/records.h"

#include <bit>
#include <string_view>
#include <utility>

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

uint64_t root_hash(const BucketDigests& buckets) {
    // Little-endian in memory, as they would be encoded.
    static_assert(std::endian::native == std::endian::little);
    return base::xxh3_64(
        std::string_view(reinterpret_cast<const char*>(buckets.data()), sizeof(buckets)));
}

std::string encode(const Frontier& frontier) {
    std::string bytes;
    frontier.encode(bytes);
    return bytes;
}

absl::StatusOr<Frontier> read_frontier(std::string_view bytes) {
    base::Reader reader(bytes);
    Frontier frontier = Frontier::decode(reader);
    if (!reader.finished()) {
        return absl::InvalidArgumentError("a frontier that does not decode");
    }
    return frontier;
}

std::string encode(const Dot& dot) {
    std::string bytes;
    put_dot(bytes, dot);
    return bytes;
}

absl::StatusOr<std::optional<Dot>> read_cursor(std::string_view bytes) {
    if (bytes.empty()) return std::nullopt;
    base::Reader reader(bytes);
    const Dot dot = read_dot(reader);
    if (!reader.finished()) {
        return absl::InvalidArgumentError("a dot that does not decode");
    }
    return dot;
}

void put_missing(const MissingPage& page, peer::EntropyMissing& out) {
    page.frontier.encode(*out.mutable_frontier());
    out.mutable_keys()->Add(page.dots.keys.begin(), page.dots.keys.end());
    for (const IndexedDots::Entry& indexed : page.dots.entries) {
        peer::EntropyIndexedDot& added = *out.add_dots();
        put_dot(*added.mutable_dot(), indexed.dot);
        added.set_key(indexed.key);
    }
    put_records(page.records, *out.mutable_records());
    out.set_has_more(page.has_more);
}

absl::StatusOr<MissingPage> read_missing(const peer::EntropyMissing& in) {
    MissingPage page;
    STARLING_ASSIGN_OR_RETURN(page.frontier, read_frontier(in.frontier()));
    STARLING_ASSIGN_OR_RETURN(page.records, read_records(in.records()));
    page.has_more = in.has_more();
    page.dots.keys.assign(in.keys().begin(), in.keys().end());
    size_t stored_bytes = 0;
    for (const peer::EntropyIndexedDot& entry : in.dots()) {
        STARLING_ASSIGN_OR_RETURN(const std::optional<Dot> dot, read_cursor(entry.dot()));
        if (!dot.has_value() || entry.key() >= page.dots.keys.size()) {
            return absl::InvalidArgumentError("an indexed dot that does not decode");
        }
        const std::string& key = page.dots.keys[entry.key()];
        if (key.size() < group_key_bytes_min) {
            return absl::InvalidArgumentError("a group key without a namespace");
        }
        // What is stored of a page is more than the page: a key stands once in that.
        stored_bytes += IndexedDots::stored_bytes(key);
        if (stored_bytes > 2 * indexed_bytes_max) {
            return absl::InvalidArgumentError("a page of missing writes that takes too much room");
        }
        page.dots.entries.push_back({.dot = *dot, .key = entry.key()});
    }
    return page;
}

void put_listing(ListingPage page, peer::EntropyListing& out) {
    for (KeyDigest& key : page.keys) {
        out.add_keys(std::move(key.key));
        out.add_digests(key.digest);
    }
    out.set_up_to(std::move(page.up_to));
}

absl::StatusOr<ListingPage> read_listing(const peer::EntropyListing& in) {
    if (in.keys_size() != in.digests_size()) {
        return absl::InvalidArgumentError("a listing that does not add up");
    }
    ListingPage page;
    page.up_to = in.up_to();
    page.keys.reserve(static_cast<size_t>(in.keys_size()));
    for (int i = 0; i < in.keys_size(); ++i) {
        if (in.keys(i).size() < group_key_bytes_min) {
            return absl::InvalidArgumentError("a group key without a namespace");
        }
        page.keys.push_back({.key = in.keys(i), .digest = in.digests(i)});
    }
    return page;
}

void put_summary(const GroupSummary& summary, peer::EntropySummary& out) {
    summary.frontier.encode(*out.mutable_frontier());
    out.mutable_buckets()->Add(summary.buckets.begin(), summary.buckets.end());
}

absl::StatusOr<GroupSummary> read_summary(const peer::EntropySummary& in) {
    GroupSummary summary;
    STARLING_ASSIGN_OR_RETURN(summary.frontier, read_frontier(in.frontier()));
    if (static_cast<size_t>(in.buckets_size()) != bucket_count) {
        return absl::InvalidArgumentError(fmt::format("{} buckets", in.buckets_size()));
    }
    std::copy(in.buckets().begin(), in.buckets().end(), summary.buckets.begin());
    return summary;
}

}  // namespace starling::node
