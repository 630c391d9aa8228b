#include "node/version/request_ids.h"

#include <array>
#include <bit>
#include <cstring>

namespace starling::node {

namespace {

// As base::Reader would read the three numbers. A record may carry hundreds of ids.
base::RequestId load(const char* bytes) {
    static_assert(std::endian::native == std::endian::little);
    std::array<uint64_t, 3> words;
    static_assert(sizeof(words) == encoded_request_id_bytes);
    std::memcpy(words.data(), bytes, sizeof(words));
    return {.created_ms = words[0], .random_high = words[1], .random_low = words[2]};
}

}  // namespace

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
    out.reserve(out.size() + ids.size() * encoded_request_id_bytes);
    for (const base::RequestId& id : ids)
        put_request_id(out, id);
}

std::vector<base::RequestId> read_request_ids(base::Reader& in) {
    std::vector<base::RequestId> ids;
    const size_t count = in.count(encoded_request_id_bytes);
    const std::string_view bytes = in.take(count * encoded_request_id_bytes);
    if (in.failed()) return {};
    ids.reserve(count);
    for (size_t at = 0; at < bytes.size(); at += encoded_request_id_bytes) {
        const base::RequestId id = load(bytes.data() + at);
        if (!ids.empty() && !(ids.back() < id)) {
            in.fail();
            return {};
        }
        ids.push_back(id);
    }
    return ids;
}

}  // namespace starling::node
