#include "node/coordinator/get_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace starling::node {

GetCore::GetCore(GetCoreOptions options) : options_(std::move(options)), tally_(options_.replicas) {
    STARLING_CHECK(options_.answers_wanted >= 1 && options_.answers_wanted <= options_.replicas);
}

void GetCore::answered(
    base::NodeId node, SeatSet seats, const Record& record, uint64_t digest, bool is_behind) {
    join(result_, record);
    has_best_answer_ |= !is_behind;
    tally_.add(node, seats);
    for (Answer& answer : answers_) {
        if (answer.node == node) {
            answer.seats.merge(seats);
            answer.digest = digest;
            return;
        }
    }
    answers_.push_back({.node = node, .seats = seats, .digest = digest});
}

void GetCore::vouched(base::NodeId node, bool has_seen) {
    for (Answer& answer : answers_) {
        if (answer.node == node) {
            answer.has_seen = has_seen;
        }
    }
}

void GetCore::repaired(base::NodeId node, uint64_t digest) {
    for (Answer& answer : answers_) {
        if (answer.node == node) {
            answer.digest = digest;
        }
    }
}

bool GetCore::is_settled(uint64_t result_digest) const {
    SeatTally holding(options_.replicas);
    for (const Answer& answer : answers_) {
        if (answer.digest == result_digest) {
            holding.add(answer.node, answer.seats);
        }
    }
    const bool is_majority = 2 * options_.answers_wanted > options_.replicas;
    if (is_majority) return holding.seats() >= options_.replicas - options_.answers_wanted + 1;
    return waits_no_longer_ || result_.siblings.size() < 2 || holding.seats() > 0;
}

bool GetCore::is_reached() const {
    const uint32_t wanted =
        options_.answers_wanted -
        (STARLING_PLANTED(read_at_r_minus_1) && options_.answers_wanted > 1 ? 1 : 0);
    return tally_.seats() >= wanted && !waits_for_better();
}

bool GetCore::reflects_seen(uint64_t result_digest) const {
    if (options_.seen.empty()) return true;
    const bool is_covered = result_.context.covers(options_.seen);
    return std::any_of(answers_.begin(), answers_.end(), [&](const Answer& answer) {
        return answer.digest == result_digest && (is_covered || answer.has_seen);
    });
}

std::vector<base::NodeId> GetCore::stale(uint64_t result_digest) const {
    std::vector<base::NodeId> nodes;
    for (const Answer& answer : answers_) {
        if (answer.digest != result_digest) {
            nodes.push_back(answer.node);
        }
    }
    return nodes;
}

}  // namespace starling::node
