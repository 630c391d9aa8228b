#include "node/server/namespaces.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/error.h"

namespace starling::node {

namespace {

constexpr uint8_t namespace_format = 1;
constexpr std::string_view item_prefix = "namespace/";
constexpr size_t name_bytes_max = 64;
constexpr uint32_t siblings_limit = 1024;

absl::Status invalid(std::string_view message) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_namespace, message);
}

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

}  // namespace

NamespaceInfo default_namespace(uint32_t seat_count, uint32_t siblings_max) {
    NamespaceInfo info;
    info.id = base::default_namespace_id;
    info.name = "default";
    info.replicas = std::min<uint32_t>(info.replicas, seat_count);
    info.read_quorum = info.replicas / 2 + 1;
    info.write_quorum = info.replicas / 2 + 1;
    info.siblings_max = siblings_max;
    return info;
}

absl::Status check_namespace(const NamespaceInfo& info, uint32_t seat_count) {
    if (info.name.empty() || info.name.size() > name_bytes_max ||
        !std::all_of(info.name.begin(), info.name.end(), is_name_character)) {
        return invalid("a namespace's name has 1 to 64 characters of a-z, 0-9, '-', '_' and '.'");
    }
    if (info.replicas < 1 || info.replicas > seat_count) {
        return base::make_error(
            absl::StatusCode::kInvalidArgument,
            base::reason::invalid_quorum,
            fmt::format(
                "N = {}, but a partition of this cluster has {} seats", info.replicas, seat_count));
    }
    if (info.read_quorum < 1 || info.read_quorum > info.replicas || info.write_quorum < 1 ||
        info.write_quorum > info.replicas) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::invalid_quorum,
                                fmt::format("R = {} and W = {} must lie in 1 .. N = {}",
                                            info.read_quorum,
                                            info.write_quorum,
                                            info.replicas));
    }
    if (info.siblings_max < 1 || info.siblings_max > siblings_limit) {
        return invalid(fmt::format("siblings_max must lie in 1 .. {}", siblings_limit));
    }
    if (info.durability != Durability::sync) {
        return base::make_error(absl::StatusCode::kUnimplemented,
                                base::reason::unimplemented,
                                "only the durability 'sync' is built");
    }
    return absl::OkStatus();
}

std::string namespace_item_key(base::NamespaceId id) {
    return std::string(item_prefix) + base::to_string(id);
}

std::string encode_namespace(const NamespaceInfo& info) {
    std::string out;
    base::put_u8(out, namespace_format);
    base::put_u64(out, info.id.raw());
    base::put_bytes(out, info.name);
    base::put_u32(out, info.replicas);
    base::put_u32(out, info.read_quorum);
    base::put_u32(out, info.write_quorum);
    base::put_u8(out, static_cast<uint8_t>(info.policy));
    base::put_u8(out, static_cast<uint8_t>(info.durability));
    base::put_u8(out, info.sloppy ? 1 : 0);
    base::put_u32(out, info.siblings_max);
    return out;
}

absl::StatusOr<NamespaceInfo> decode_namespace(std::string_view bytes) {
    base::Reader in(bytes);
    NamespaceInfo info;
    const uint8_t format = in.u8();
    info.id = base::NamespaceId(in.u64());
    info.name = std::string(in.bytes());
    info.replicas = in.u32();
    info.read_quorum = in.u32();
    info.write_quorum = in.u32();
    const uint8_t policy = in.u8();
    const uint8_t durability = in.u8();
    const uint8_t sloppy = in.u8();
    info.siblings_max = in.u32();
    if (!in.finished() || format != namespace_format || info.id.is_none() ||
        policy > static_cast<uint8_t>(ConflictPolicy::reject_stale) ||
        durability > static_cast<uint8_t>(Durability::memory) || sloppy > 1) {
        return absl::InvalidArgumentError("not a namespace");
    }
    info.policy = static_cast<ConflictPolicy>(policy);
    info.durability = static_cast<Durability>(durability);
    info.sloppy = sloppy == 1;
    return info;
}

absl::btree_map<std::string, NamespaceInfo> namespaces_in(const gossip::Membership& membership,
                                                          uint32_t seat_count,
                                                          uint32_t siblings_max) {
    absl::btree_map<std::string, NamespaceInfo> found;
    NamespaceInfo standard = default_namespace(seat_count, siblings_max);
    found.emplace(standard.name, std::move(standard));
    // Item keys order as the ids do, so that the lower id comes first.
    for (const auto& [key, item] : membership.items()) {
        if (!std::string_view(key).starts_with(item_prefix)) {
            continue;
        }
        absl::StatusOr<NamespaceInfo> info = decode_namespace(item.item.value);
        if (!info.ok() || !check_namespace(*info, seat_count).ok() ||
            info->id == base::default_namespace_id || key != namespace_item_key(info->id)) {
            continue;
        }
        std::string name = info->name;
        if (found.contains(name)) {
            name = "id:" + base::to_string(info->id);
        }
        found.emplace(std::move(name), *std::move(info));
    }
    return found;
}

}  // namespace starling::node
