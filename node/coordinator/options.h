#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"
#include "env/transport.h"

namespace starling::node {

struct CoordinatorOptions {
    uint32_t key_bytes_max = 64u << 10;
    uint64_t value_bytes_max = 16ULL << 20;
    // Keys and values of requests under way in one shard.
    uint64_t inflight_bytes_max = 64ULL << 20;
    // Of a record with several siblings: it has to fit a frame beside what else that says.
    uint64_t record_bytes_max = env::frame_bytes_max / 4 * 3;
    // Values and deletes side by side in one record, each of which every write of the key looks at.
    uint32_t record_siblings_max = 512;
    // Requests superseded within the window, remembered by one record.
    uint32_t gone_max = 4096;
    // Lives of nodes that a group's frontier keeps apart, since they are not sealed.
    uint32_t lives_max = 1024;
    base::Duration deadline_default = std::chrono::seconds(2);
    base::Duration deadline_max = std::chrono::seconds(60);
    // How long a replica may be silent before its message is repeated and a stand-in takes the
    // write.
    base::Duration hint_after = std::chrono::milliseconds(250);
    // A request id is good for this long after its creation, by the coordinator's clock.
    base::Duration request_window = std::chrono::minutes(10);
    base::Duration clock_drift_max = std::chrono::seconds(10);
    // How far ahead a value may expire: beyond it the number is no time in milliseconds.
    base::Duration expiry_ahead_max = std::chrono::hours(24 * 36'500);
};

}  // namespace starling::node
