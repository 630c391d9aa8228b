#include "node/server/identity.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

namespace {

// Of all that a shard keeps (docs/formats/shard.md).
constexpr uint8_t shard_format = 5;

std::string identity_key() {
    return storage_keys::meta("identity");
}

}  // namespace

std::string encode_identity(const Identity& identity) {
    std::string out;
    base::put_u8(out, shard_format);
    base::put_u64(out, identity.node.raw());
    base::put_u64(out, identity.cluster.id.raw());
    base::put_bytes(out, identity.cluster.name);
    base::put_u32(out, identity.cluster.partition_count);
    base::put_u32(out, identity.cluster.seats);
    base::put_u32(out, identity.shard_count);
    base::put_u32(out, identity.shard);
    base::put_u32(out, identity.generation);
    return out;
}

absl::StatusOr<Identity> decode_identity(std::string_view bytes) {
    base::Reader in(bytes);
    Identity identity;
    const uint8_t format = in.u8();
    identity.node = base::NodeId(in.u64());
    identity.cluster.id = base::ClusterId(in.u64());
    identity.cluster.name = std::string(in.bytes());
    identity.cluster.partition_count = in.u32();
    identity.cluster.seats = in.u32();
    identity.shard_count = in.u32();
    identity.shard = in.u32();
    identity.generation = in.u32();
    if (!in.finished() || identity.node.is_none()) {
        return absl::DataLossError("the stored identity of the node does not decode");
    }
    if (format != shard_format) {
        return absl::FailedPreconditionError(
            fmt::format("the node's data has shard format {}; this program knows format {}",
                        format,
                        shard_format));
    }
    return identity;
}

uint32_t next_generation(uint32_t last, uint64_t unix_ms) {
    // 2020-01-01. As seconds half of all generations last until 2088.
    constexpr uint64_t begin_ms = 1'577'836'800'000;
    constexpr uint64_t by_clock_max = uint64_t{1} << 31;
    const uint64_t by_clock =
        std::min((std::max(unix_ms, begin_ms) - begin_ms) / 1000, by_clock_max);
    return last == 0 ? 1 : std::max(last + 1, static_cast<uint32_t>(by_clock));
}

absl::StatusOr<std::optional<Identity>> load_identity(storage::Engine& engine) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored, engine.get(identity_key()));
    if (!stored.has_value()) {
        return std::optional<Identity>();
    }
    STARLING_ASSIGN_OR_RETURN(Identity identity, decode_identity(*stored));
    return std::optional<Identity>(std::move(identity));
}

void put_identity(storage::WriteBatch& batch, const Identity& identity) {
    batch.put(identity_key(), encode_identity(identity));
}

absl::Status store_identity(storage::Engine& engine, const Identity& identity) {
    storage::WriteBatch batch;
    put_identity(batch, identity);
    return engine.write(batch, {.sync = !STARLING_PLANTED(life_begun_unsynced)});
}

}  // namespace starling::node
