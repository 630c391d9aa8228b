#include "node/version/request_ids.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace starling::node {

// In memory ids look as base::put_u64 and base::Reader put and read their three numbers. A record
// may carry hundreds.
static_assert(std::endian::native == std::endian::little);
static_assert(std::is_trivially_copyable_v<base::RequestId>);
static_assert(sizeof(base::RequestId) == encoded_request_id_bytes);

void put_request_id(std::string& out, const base::RequestId& id) {
    base::put_u64(out, id.created_ms);
    base::put_u64(out, id.random_high);
    base::put_u64(out, id.random_low);
}

base::RequestId read_request_id(base::Reader& in) {
    base::RequestId id;
    id.created_ms = in.u64();
    id.random_high = in.u64();
    id.random_low = in.u64();
    return id;
}

void put_request_ids(std::string& out, const std::vector<base::RequestId>& ids) {
    base::put_varint(out, ids.size());
    if (!ids.empty()) {
        out.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(ids[0]));
    }
}

std::vector<base::RequestId> read_request_ids(base::Reader& in) {
    const size_t count = in.count(encoded_request_id_bytes);
    const std::string_view bytes = in.take(count * encoded_request_id_bytes);
    std::vector<base::RequestId> ids(bytes.size() / encoded_request_id_bytes);
    if (ids.empty()) return ids;
    std::memcpy(ids.data(), bytes.data(), bytes.size());
    const auto not_ascending = [](const base::RequestId& a, const base::RequestId& b) {
        return !(a < b);
    };
    if (std::adjacent_find(ids.begin(), ids.end(), not_ascending) != ids.end()) {
        in.fail();
        return {};
    }
    return ids;
}

}  // namespace starling::node
