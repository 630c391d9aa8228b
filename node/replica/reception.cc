#include "node/replica/reception.h"

namespace starling::node {

namespace {

// What a hint holds of the life that its write is of: that life is not sealed while the hint is
// kept, so nobody has concluded yet that no such write will come.
bool is_kept_open(const Carrier& carrier, const Actor& actor) {
    const Actor& kept = carrier.dot->actor;
    return carrier.is_hint && actor.node == kept.node && actor.start == kept.start;
}

}  // namespace

Reception receive(const Carrier& carrier,
                  const Record& local,
                  const Record& incoming,
                  const Starts& frozen,
                  const Frontier& seen) {
    // The state of an owner, durable there, holds nothing that was lost.
    if (!carrier.dot.has_value()) return {};
    if (seen.contains(*carrier.dot)) return {.kind = Reception::Kind::seen_before};
    for (const Sibling& sibling : incoming.siblings) {
        if (!is_kept_open(carrier, sibling.dot.actor) && has_ended(frozen, sibling.dot.actor) &&
            !seen.contains(sibling.dot)) {
            return {.kind = Reception::Kind::of_ended_life, .dot = sibling.dot};
        }
    }
    if (!accounts_for(local, incoming, seen)) return {.kind = Reception::Kind::unaccounted};
    return {};
}

}  // namespace starling::node
