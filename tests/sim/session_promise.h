#pragma once

// I17, the promise to a session: it never reads a state older than its own acknowledged writes or
// its earlier reads. The check knows writes only, as the oracle does.

#include <string>
#include <vector>

#include "tests/sim/history.h"

namespace starling::sim {

// What a session has seen of one key: as nodes are told, and as the check knows it.
struct SessionSeen {
    std::string token = {};
    // The latest; none twice.
    std::vector<WriteId> writes = {};

    void add(WriteId id);
};

// What is wrong with a read that returned `present` to a session that had seen `seen` of the key
// when it sent the read; empty: nothing. Each write seen must be returned, or a write that may have
// replaced it, or a delete that may have, if it has not expired, as what expires up to
// `expired_by_ms` may have; nothing may be returned that one of them must have replaced.
std::string older_than_session(const History& history,
                               const std::vector<WriteId>& seen,
                               const std::vector<WriteId>& present,
                               uint64_t expired_by_ms = 0);

}  // namespace starling::sim
