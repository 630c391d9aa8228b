#include "node/replica/reception.h"

namespace starling::node {

Reception receive(const Carrier& carrier,
                  const Record& local,
                  const Record& incoming,
                  const Starts& frozen,
                  const Frontier& seen) {
    // The state of an owner, durable there, holds nothing that was lost.
    if (!carrier.dot.has_value()) return {};
    if (seen.contains(*carrier.dot)) return {.kind = Reception::Kind::seen_before};
    for (const Sibling& sibling : incoming.siblings) {
        const bool is_what_was_kept = carrier.is_hint && sibling.dot == *carrier.dot;
        if (!is_what_was_kept && has_ended(frozen, sibling.dot.actor) &&
            !seen.contains(sibling.dot)) {
            return {.kind = Reception::Kind::of_ended_life, .dot = sibling.dot};
        }
    }
    if (!accounts_for(local, incoming, seen)) return {.kind = Reception::Kind::unaccounted};
    return {};
}

}  // namespace starling::node
