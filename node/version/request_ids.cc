#include "node/version/request_ids.h"

namespace starling::node {

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
    for (const base::RequestId& id : ids)
        put_request_id(out, id);
}

std::vector<base::RequestId> read_request_ids(base::Reader& in) {
    std::vector<base::RequestId> ids;
    const size_t count = in.count(encoded_request_id_bytes);
    ids.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const base::RequestId id = read_request_id(in);
        if (i > 0 && !(ids.back() < id)) in.fail();
        if (in.failed()) return {};
        ids.push_back(id);
    }
    return ids;
}

}  // namespace starling::node
