#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace starling::node {

struct EntropyOptions {
    // Each pair of a group and another holder is compared this often, give or take a quarter: where
    // nothing has changed here since the last time and no report is awaited; and elsewhere.
    base::Duration interval = std::chrono::seconds(30);
    base::Duration active_interval = std::chrono::seconds(3);
    // After a difference, or a peer that did not answer; doubled up to the interval.
    base::Duration retry_min = std::chrono::milliseconds(500);
    // Of the first try; where the answer brings data each next one waits twice as long.
    base::Duration request_timeout = std::chrono::seconds(2);
    // Per request, before a session is given up.
    uint32_t tries_max = 3;
    // Comparisons of the scheduler that run at once.
    uint32_t sessions_max = 4;
    // Bytes of one answer; a single larger record still travels, alone.
    size_t batch_bytes_max = 256 << 10;
    // A copy is nearly in step when its last round brought at most this many records, or after so
    // many rounds.
    uint64_t nearly_records_max = 64;
    uint32_t copy_rounds_max = 4;
    // What answers may bring, checks aside; 0: as much as comes.
    uint64_t bytes_per_second = 0;
    // While clients wait, a question for data waits too: so long at a time, and so long in all.
    base::Duration pause = std::chrono::milliseconds(100);
    base::Duration pause_max = std::chrono::seconds(2);
};

struct EntropyCounters {
    uint64_t checks = 0;
    uint64_t checks_equal = 0;
    uint64_t sessions = 0;
    uint64_t sessions_failed = 0;
    // Questions for data that waited, for the budget or for clients.
    uint64_t questions_put_off = 0;
    uint64_t records_pulled = 0;
    uint64_t bytes_pulled = 0;
    // Of all messages, questions and answers.
    uint64_t bytes_sent = 0;
    uint64_t malformed_messages = 0;
};

}  // namespace starling::node
