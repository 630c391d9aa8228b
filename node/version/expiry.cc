#include "node/version/expiry.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/codec.h"
#include "base/hash.h"
#include "base/planted.h"
#include "node/version/request_ids.h"

namespace starling::node {

bool has_expired(const Sibling& sibling, uint64_t now_ms) {
    if (STARLING_PLANTED(expired_value_shown)) return false;
    return !sibling.is_tombstone && sibling.expires_ms != 0 && sibling.expires_ms <= now_ms;
}

bool is_removal(const Sibling& sibling) {
    return sibling.is_tombstone && sibling.expires_ms != 0;
}

base::RequestId removal_request(const base::RequestId& request) {
    std::string bytes = "expire";
    put_request_id(bytes, request);
    constexpr uint64_t low_seed = 1;
    return {.created_ms = request.created_ms,
            .random_high = base::xxh3_64(bytes),
            .random_low = base::xxh3_64(bytes, low_seed)};
}

bool hides_another(const Record& record, const base::RequestId& request) {
    return std::any_of(record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
        return std::binary_search(sibling.hidden_by.begin(), sibling.hidden_by.end(), request);
    });
}

Record mint_removal(const Record& local, const Sibling& value, const Dot& dot) {
    Superseded seen{.context = {}, .requests = {value.request}};
    if (STARLING_PLANTED(expired_takes_concurrent)) {
        seen = Superseded::by_reading(local);
    }
    return mint(local,
                seen,
                {.dot = dot,
                 .request = removal_request(value.request),
                 .time = value.time,
                 .expires_ms = value.expires_ms,
                 .is_tombstone = true,
                 .value = {}});
}

}  // namespace starling::node
