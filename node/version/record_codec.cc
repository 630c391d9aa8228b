// Bytes of a record: docs/formats/record.md. Each record has one encoding, and what is not that
// encoding of some valid record is refused.

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "node/version/record.h"
#include "node/version/request_ids.h"

namespace starling::node {

namespace {

constexpr uint8_t record_format = 1;
constexpr uint8_t flag_tombstone = 1;
constexpr uint8_t flag_expires = 2;
constexpr uint8_t flag_hidden = 4;
constexpr size_t checksum_bytes = 4;
// Actor's index, sequence, request id, wall clock, logical clock, flags.
constexpr size_t encoded_sibling_bytes_min = 1 + 1 + encoded_request_id_bytes + 1 + 1 + 1;

size_t encoded_size_about(const Record& record) {
    constexpr size_t fixed = 32;
    size_t size = fixed + record.context.entries().size() * (encoded_actor_bytes + 10) +
                  record.gone.size() * encoded_request_id_bytes;
    for (const Sibling& sibling : record.siblings) {
        size += 64 + sibling.value.size() + sibling.hidden_by.size() * encoded_request_id_bytes;
    }
    return size;
}

size_t index_of(const Context& context, const Actor& actor) {
    const std::vector<Context::Entry>& entries = context.entries();
    const auto at = std::lower_bound(
        entries.begin(),
        entries.end(),
        actor,
        [](const Context::Entry& entry, const Actor& wanted) { return entry.actor < wanted; });
    return static_cast<size_t>(at - entries.begin());
}

void put_sibling(std::string& out, const Context& context, const Sibling& sibling) {
    base::put_varint(out, index_of(context, sibling.dot.actor));
    base::put_varint(out, sibling.dot.sequence);
    put_request_id(out, sibling.request);
    base::put_varint(out, sibling.time.wall_ms);
    base::put_varint(out, sibling.time.logical);
    const uint8_t tombstone = sibling.is_tombstone ? flag_tombstone : 0;
    const uint8_t expires = sibling.expires_ms != 0 ? flag_expires : 0;
    const uint8_t hidden = sibling.hidden_by.empty() ? 0 : flag_hidden;
    base::put_u8(out, tombstone | expires | hidden);
    if (expires != 0) base::put_varint(out, sibling.expires_ms);
    if (hidden != 0) put_request_ids(out, sibling.hidden_by);
    if (tombstone == 0) base::put_bytes(out, sibling.value);
}

Dot read_dot_of(base::Reader& in, const Context& context) {
    const uint64_t index = in.varint();
    const uint64_t sequence = in.varint();
    if (in.failed() || index >= context.entries().size()) {
        in.fail();
        return {};
    }
    const Context::Entry& entry = context.entries()[index];
    if (sequence == 0 || sequence > entry.sequence) in.fail();
    return Dot{entry.actor, sequence};
}

Sibling read_sibling(base::Reader& in, const Context& context) {
    Sibling sibling;
    sibling.dot = read_dot_of(in, context);
    sibling.request = read_request_id(in);
    sibling.time.wall_ms = in.varint();
    const uint64_t logical = in.varint();
    if (logical > std::numeric_limits<uint32_t>::max()) in.fail();
    sibling.time.logical = static_cast<uint32_t>(logical);
    const uint8_t flags = in.u8();
    if ((flags & ~(flag_tombstone | flag_expires | flag_hidden)) != 0) in.fail();
    if ((flags & flag_expires) != 0) {
        sibling.expires_ms = in.varint();
        if (sibling.expires_ms == 0) in.fail();
    }
    if ((flags & flag_hidden) != 0) {
        sibling.hidden_by = read_request_ids(in);
        // Older requests only, or hiding could go in a circle.
        if (sibling.hidden_by.empty() || !(sibling.hidden_by.back() < sibling.request)) in.fail();
    }
    sibling.is_tombstone = (flags & flag_tombstone) != 0;
    if (!sibling.is_tombstone) sibling.value = in.bytes();
    return sibling;
}

std::vector<Sibling> read_siblings(base::Reader& in, const Context& context) {
    std::vector<Sibling> siblings;
    const size_t count = in.count(encoded_sibling_bytes_min);
    siblings.reserve(count);
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        siblings.push_back(read_sibling(in, context));
        if (i > 0 && !(siblings[i - 1].dot < siblings[i].dot)) in.fail();
    }
    return siblings;
}

// No live id is none, doubled, or gone.
bool are_requests_consistent(const Record& record) {
    std::vector<base::RequestId> live;
    live.reserve(record.siblings.size());
    for (const Sibling& sibling : record.siblings) {
        if (sibling.request.is_none() || record.is_gone(sibling.request)) return false;
        live.push_back(sibling.request);
    }
    std::sort(live.begin(), live.end());
    return std::adjacent_find(live.begin(), live.end()) == live.end();
}

}  // namespace

void encode_record(std::string& out, const Record& record) {
    const size_t begin = out.size();
    out.reserve(begin + encoded_size_about(record));
    base::put_u8(out, record_format);
    record.context.encode(out);
    base::put_varint(out, record.siblings.size());
    for (const Sibling& sibling : record.siblings)
        put_sibling(out, record.context, sibling);
    put_request_ids(out, record.gone);
    base::put_u32(out, base::crc32c(std::string_view(out).substr(begin)));
}

absl::StatusOr<Record> decode_record(std::string_view bytes) {
    if (bytes.size() < checksum_bytes) return absl::DataLossError("a record of too few bytes");
    const std::string_view body = bytes.substr(0, bytes.size() - checksum_bytes);
    if (base::Reader(bytes.substr(body.size())).u32() != base::crc32c(body)) {
        return absl::DataLossError("a record whose checksum does not match its bytes");
    }
    base::Reader in(body);
    if (const uint8_t format = in.u8(); !in.failed() && format != record_format) {
        return absl::DataLossError(fmt::format("a record of unknown format {}", format));
    }
    Record record;
    record.context = Context::decode(in);
    record.siblings = read_siblings(in, record.context);
    record.gone = read_request_ids(in);
    if (!in.finished() || !are_requests_consistent(record)) {
        return absl::DataLossError("a record whose bytes are not a valid record");
    }
    return record;
}

}  // namespace starling::node
