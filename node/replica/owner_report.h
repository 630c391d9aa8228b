#pragma once

// What one owner of a group tells another of itself, beside a frontier of the group that is durable
// where it comes from. It travels with each comparison of the two (peer::EntropyReport).

#include <cstdint>

#include "absl/status/statusor.h"

#include "node/replica/knowledge.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

struct OwnerReport {
    // Which seats of the group the sender holds, and since when: a number that differs when they
    // do. What it said as the holder of others is void, since it has other data now.
    uint64_t tenure = 0;
    // By the sender's clock (Unix ms), when it took the frontier.
    uint64_t wall_ms = 0;
    // The sender's own last question, which the next report to it answers.
    uint64_t asks = 0;
    // The frontier and the rest of what conclusions are drawn from.
    Knowledge::Report known;
};

void put_report(const OwnerReport& report, peer::EntropyReport& out);
// Without the frontier.
OwnerReport read_report(const peer::EntropyReport& in);

using StartList = google::protobuf::RepeatedPtrField<peer::EntropyStart>;
void put_starts(const Starts& starts, StartList& out);
Starts read_starts(const StartList& in);

}  // namespace starling::node
