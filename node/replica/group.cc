#include "node/replica/group.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/hash.h"
#include "node/replica/group_access.h"

namespace starling::node {

namespace {

constexpr size_t namespace_bytes = 8;
constexpr size_t bucket_set_bytes = bucket_count / 8;

}  // namespace

std::string group_key(base::NamespaceId name_space, std::string_view key) {
    std::string out;
    out.reserve(namespace_bytes + key.size());
    base::put_u64_ordered(out, name_space.raw());
    out.append(key);
    return out;
}

std::string group_keys_end(base::NamespaceId name_space) {
    return name_space.raw() == UINT64_MAX
               ? std::string()
               : group_key(base::NamespaceId(name_space.raw() + 1), std::string_view());
}

SplitGroupKey split_group_key(std::string_view key) {
    STARLING_CHECK(key.size() >= namespace_bytes);
    base::Reader in(key);
    const base::NamespaceId name_space(in.u64_ordered());
    return {.name_space = name_space, .key = in.rest()};
}

absl::uint128 fingerprint_of(std::string_view group_key, std::string_view record) {
    return base::xxh3_128(record, base::xxh3_64(group_key));
}

size_t bucket_of(std::string_view group_key) {
    static_assert(bucket_count == 256);
    return base::xxh3_64(group_key) & (bucket_count - 1);
}

std::string encode(const BucketSet& buckets) {
    std::string bytes(bucket_set_bytes, '\0');
    for (size_t bucket = 0; bucket < bucket_count; ++bucket) {
        if (buckets.test(bucket)) {
            bytes[bucket / 8] = static_cast<char>(bytes[bucket / 8] | 1 << bucket % 8);
        }
    }
    return bytes;
}

std::optional<BucketSet> decode_bucket_set(std::string_view bytes) {
    if (bytes.size() != bucket_set_bytes) {
        return std::nullopt;
    }
    BucketSet buckets;
    for (size_t bucket = 0; bucket < bucket_count; ++bucket) {
        buckets.set(bucket, (static_cast<uint8_t>(bytes[bucket / 8]) >> bucket % 8 & 1) != 0);
    }
    return buckets;
}

}  // namespace starling::node
