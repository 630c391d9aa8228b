#pragma once

// Namespaces as gossip carries them: one shared item each, under its id. `default` exists
// everywhere without one.

#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "gossip/membership.h"
#include "node/api.h"

namespace starling::node {

NamespaceInfo default_namespace(uint32_t seat_count, uint32_t siblings_max);

// invalid_argument, or unimplemented for what is not built yet, naming the field.
absl::Status check_namespace(const NamespaceInfo& info, uint32_t seat_count);

std::string namespace_item_key(base::NamespaceId id);
std::string encode_namespace(const NamespaceInfo& info);
absl::StatusOr<NamespaceInfo> decode_namespace(std::string_view bytes);

// By name; of two of one name (made at once on two nodes) the lower id holds it, and the other
// keeps the name "id:<its id>". Items that do not decode, do not fit this cluster, or are not under
// their own id are passed over. `siblings_max`: of `default`.
absl::btree_map<std::string, NamespaceInfo> namespaces_in(const gossip::Membership& membership,
                                                          uint32_t seat_count,
                                                          uint32_t siblings_max);

}  // namespace starling::node
