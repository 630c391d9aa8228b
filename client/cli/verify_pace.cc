#include "client/cli/verify_pace.h"

#include <algorithm>

namespace starling::client {

namespace {

// Short pauses cost more than they save.
constexpr base::Duration worth_it = std::chrono::milliseconds(20);
// More than a node reads for one answer, whatever it says.
constexpr uint64_t answer_bytes_max = uint64_t{1} << 40;

}  // namespace

void VerifyPace::answered(const v1::InspectReplicaResponse& answer) {
    const uint64_t bytes =
        std::min(std::max<uint64_t>(answer.ByteSizeLong(), answer.bytes_read()), answer_bytes_max);
    const base::MonotonicTime now = clock_.now();
    next_ = std::max(next_, now);
    next_ += std::chrono::nanoseconds(static_cast<int64_t>(static_cast<double>(bytes) * 1e9 /
                                                           static_cast<double>(bytes_per_second_)));
    if (next_ - now > worth_it) {
        pause_(next_ - now);
    }
}

}  // namespace starling::client
