#include "gossip/suspicion.h"

#include <algorithm>
#include <cmath>

#include "gossip/options.h"

namespace starling::gossip {
namespace {

base::Duration times(base::Duration duration, double factor) {
    return base::Duration(
        static_cast<base::Duration::rep>(static_cast<double>(duration.count()) * factor));
}

}  // namespace

SuspicionTimeouts suspicion_timeouts(const SwimOptions& options, size_t members) {
    const double size_factor =
        std::max(1.0, std::log10(static_cast<double>(std::max(members, size_t{1}))));
    const auto shortest = times(options.probe_interval, options.suspicion_multiplier * size_factor);
    // Neither the suspect nor the first accuser can confirm.
    const size_t confirmers = members > 2 ? members - 2 : 0;
    return {.shortest = shortest,
            .longest = times(shortest, std::max(1.0, options.suspicion_max_factor)),
            .confirmations_wanted = static_cast<uint32_t>(
                std::min<size_t>(options.suspicion_confirmations, confirmers))};
}

Suspicion::Suspicion(base::MonotonicTime start, base::NodeId accuser, SuspicionTimeouts timeouts)
    : start_(start),
      timeouts_(timeouts),
      timeout_(timeouts.confirmations_wanted == 0 ? timeouts.shortest : timeouts.longest),
      accusers_{accuser} {}

bool Suspicion::confirm(base::NodeId accuser) {
    if (accusers_.size() > timeouts_.confirmations_wanted) return false;
    if (std::ranges::find(accusers_, accuser) != accusers_.end()) return false;
    accusers_.push_back(accuser);
    const double confirmations = static_cast<double>(accusers_.size() - 1);
    const double wanted = timeouts_.confirmations_wanted;
    const double share = std::log(confirmations + 1.0) / std::log(wanted + 1.0);
    timeout_ = std::max(timeouts_.shortest,
                        timeouts_.longest - times(timeouts_.longest - timeouts_.shortest, share));
    return true;
}

}  // namespace starling::gossip
