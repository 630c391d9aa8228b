#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace starling::node {

// The unit of replication: the keys of one partition that belong to namespaces of one N. Its
// replicas are the holders of the partition's seats 0 .. replicas-1. Each group has its own
// frontier and hash tree, because seats beyond the N of a namespace never see its writes.
struct GroupId {
    base::PartitionId partition;
    uint8_t replicas = 0;

    friend auto operator<=>(const GroupId&, const GroupId&) = default;
};

// Namespace id (8 bytes, ordered) and key: how a record is named inside its group.
std::string group_key(base::NamespaceId name_space, std::string_view key);
struct SplitGroupKey {
    base::NamespaceId name_space;
    std::string_view key;
};
// The first group key after all of the namespace's; empty when there is none.
std::string group_keys_end(base::NamespaceId name_space);
// REQUIRES: at least 8 bytes.
SplitGroupKey split_group_key(std::string_view key);

}  // namespace starling::node
