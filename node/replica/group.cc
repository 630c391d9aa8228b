#include "node/replica/group.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/hash.h"
#include "node/replica/group_access.h"

namespace starling::node {

namespace {

constexpr size_t namespace_bytes = 8;

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

}  // namespace starling::node
