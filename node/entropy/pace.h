#pragma once

// How fast anti-entropy may bring data here: a budget of bytes, and less while clients wait. A
// question for data is put off until what the answers before brought has been paid for. Clients'
// waiting puts it off too, but not for ever: a cluster that is always slow still heals.

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "node/entropy/entropy_options.h"

namespace starling::node {

class Pace {
  public:
    explicit Pace(const EntropyOptions& options) : options_(options) {}

    void brought(base::MonotonicTime now, uint64_t bytes) {
        if (options_.bytes_per_second == 0) return;
        const double seconds =
            static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second);
        paid_at_ = std::max(paid_at_, now) + base::Duration(static_cast<int64_t>(seconds * 1e9));
    }
    // How long a question that has waited for `waited` is put off; 0: it is asked now.
    base::Duration delay(base::MonotonicTime now,
                         base::Duration waited,
                         bool do_clients_wait) const {
        const base::Duration unpaid = std::max(paid_at_ - now, base::Duration::zero());
        if (!do_clients_wait || waited >= options_.pause_max) return unpaid;
        return std::max(unpaid, options_.pause);
    }

  private:
    const EntropyOptions& options_;
    base::MonotonicTime paid_at_{};
};

}  // namespace starling::node
