#include "client/rotation.h"

#include <algorithm>
#include <chrono>

namespace starling::client {

namespace {

constexpr base::Duration rest_first = std::chrono::milliseconds(100);
constexpr base::Duration rest_max = std::chrono::seconds(2);

}  // namespace

size_t Rotation::pick(std::optional<size_t> previous, base::MonotonicTime now) {
    const size_t count = rests_.size();
    std::optional<size_t> best;
    for (size_t i = 0; i < count; ++i) {
        const size_t candidate = (next_ + i) % count;
        if (candidate == previous && count > 1) {
            continue;
        }
        if (rests_[candidate].until <= now) {
            best = candidate;
            break;
        }
        if (!best.has_value() || rests_[candidate].until < rests_[*best].until) {
            best = candidate;
        }
    }
    next_ = (*best + 1) % count;
    return *best;
}

void Rotation::failed(size_t endpoint, base::MonotonicTime now) {
    Rest& rest = rests_[endpoint];
    rest.length =
        rest.length == base::Duration::zero() ? rest_first : std::min(rest.length * 2, rest_max);
    rest.until = now + rest.length;
}

}  // namespace starling::client
