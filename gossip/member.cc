#include "gossip/member.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/codec.h"

namespace starling::gossip {
namespace {

constexpr uint8_t record_format = 1;

bool is_printable(std::string_view text) {
    return std::ranges::none_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

absl::Status check_string(std::string_view field, std::string_view value) {
    if (value.size() > member_string_bytes_max) {
        return absl::InvalidArgumentError(fmt::format("member record: {} has {} bytes, at most {}",
                                                      field,
                                                      value.size(),
                                                      member_string_bytes_max));
    }
    if (!is_printable(value)) {
        return absl::InvalidArgumentError(
            fmt::format("member record: {} holds a control character", field));
    }
    return absl::OkStatus();
}

bool is_known(MemberState state) {
    return state >= MemberState::joining && state <= MemberState::left;
}

}  // namespace

std::string_view to_string(MemberState state) {
    switch (state) {
        case MemberState::joining:
            return "joining";
        case MemberState::member:
            return "member";
        case MemberState::leaving:
            return "leaving";
        case MemberState::left:
            return "left";
    }
    return "unknown";
}

absl::Status validate(const MemberRecord& record) {
    if (record.id.is_none()) return absl::InvalidArgumentError("member record: no id");
    if (record.generation == 0) return absl::InvalidArgumentError("member record: generation 0");
    if (record.peer_address.empty()) {
        return absl::InvalidArgumentError("member record: no peer_address");
    }
    if (record.weight == 0 || record.weight > member_weight_max) {
        return absl::InvalidArgumentError(fmt::format(
            "member record: weight {} is not in 1..{}", record.weight, member_weight_max));
    }
    if (!is_known(record.state)) return absl::InvalidArgumentError("member record: unknown state");
    if (record.payload.size() > member_payload_bytes_max) {
        return absl::InvalidArgumentError(
            fmt::format("member record: payload has {} bytes, at most {}",
                        record.payload.size(),
                        member_payload_bytes_max));
    }
    if (auto s = check_string("peer_address", record.peer_address); !s.ok()) return s;
    if (auto s = check_string("client_address", record.client_address); !s.ok()) return s;
    if (auto s = check_string("zone", record.zone); !s.ok()) return s;
    return check_string("software_version", record.software_version);
}

std::string encode(const MemberRecord& record) {
    std::string out;
    out.reserve(64 + record.payload.size() + record.peer_address.size() +
                record.client_address.size() + record.zone.size() + record.software_version.size());
    base::put_u8(out, record_format);
    base::put_u64(out, record.id.raw());
    base::put_u32(out, record.generation);
    base::put_varint(out, record.version);
    base::put_u8(out, static_cast<uint8_t>(record.state));
    base::put_varint(out, record.weight);
    base::put_bytes(out, record.peer_address);
    base::put_bytes(out, record.client_address);
    base::put_bytes(out, record.zone);
    base::put_bytes(out, record.software_version);
    base::put_bytes(out, record.payload);
    STARLING_CHECK(out.size() <= member_record_bytes_max);
    return out;
}

absl::StatusOr<MemberRecord> decode_member(std::string_view bytes) {
    if (bytes.size() > member_record_bytes_max) {
        return absl::InvalidArgumentError("member record: too long");
    }
    base::Reader reader(bytes);
    const uint8_t format = reader.u8();
    if (!reader.failed() && format != record_format) {
        return absl::InvalidArgumentError(fmt::format("member record: unknown format {}", format));
    }
    MemberRecord record;
    record.id = base::NodeId(reader.u64());
    record.generation = reader.u32();
    record.version = reader.varint();
    record.state = static_cast<MemberState>(reader.u8());
    const uint64_t weight = reader.varint();
    if (weight > member_weight_max) reader.fail();
    record.weight = static_cast<uint32_t>(weight);
    record.peer_address = reader.bytes();
    record.client_address = reader.bytes();
    record.zone = reader.bytes();
    record.software_version = reader.bytes();
    record.payload = reader.bytes();
    if (!reader.finished()) return absl::InvalidArgumentError("member record: malformed");
    if (auto status = validate(record); !status.ok()) return status;
    return record;
}

std::strong_ordering compare(const MemberRecord& a, const MemberRecord& b) {
    STARLING_CHECK(a.id == b.id);
    if (const auto order = a.record_version() <=> b.record_version(); order != 0) return order;
    if (a == b) return std::strong_ordering::equal;
    return encode(a) <=> encode(b);
}

}  // namespace starling::gossip
