#pragma once

// What a program tells the client library. Zero or empty always means "the default".

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/random.h"

namespace starling::client {

struct RetryPolicy {
    // Tries of one request, the first included; 0 = as many as its deadline lets it have.
    uint32_t tries_max = 0;
    // One try may take this long, so that a node that is silent leaves time for another one.
    base::Duration try_timeout = std::chrono::milliseconds(2500);
    // The wait before another try doubles from the first to the cap, and is jittered. A try through
    // a node that has not been asked yet follows at once where the last one could not be reached.
    base::Duration backoff_first = std::chrono::milliseconds(10);
    base::Duration backoff_max = std::chrono::milliseconds(500);
};

struct ClientOptions {
    // "host:port" of nodes of one cluster. Any of them takes any request; requests go to them in
    // turn.
    std::vector<std::string> endpoints;
    // 1 to 4 connections to each node. More than one helps programs with many requests at once.
    uint32_t connections_per_endpoint = 1;
    // Of a request that names none, all its tries included.
    base::Duration deadline = std::chrono::seconds(5);
    RetryPolicy retry = {};
    // The longest answer that is taken.
    size_t message_bytes_max = 64u << 20;
    // Requests under way; one more is refused with resource_exhausted.
    size_t requests_max = 65536;
    // A session: a read never returns less of a key than this client's own acknowledged writes
    // wrote and its earlier reads returned, through whatever node and at R = 1, too. Where no node
    // that can be reached has all of it: unavailable, session_not_satisfied.
    bool read_your_writes = false;
    // Keys that a session remembers. Beyond it the one that was not used for the longest is
    // forgotten, and with it the promise for that key.
    size_t session_keys_max = 16384;
};

// Time and chance. All must outlive the client. `random` is used under a lock of the client's and
// by nobody else.
struct ClientEnvironment {
    const env::Clock& clock;
    const env::WallClock& wall_clock;
    env::Random& random;
};

struct RequestOptions {
    // Empty = "default".
    std::string name_space = {};
    // R of a read, W of a write; 0 = the namespace's.
    uint32_t quorum = 0;
    // Zero = ClientOptions::deadline.
    base::Duration deadline = {};
    std::optional<bool> sloppy = {};
    // Ask for Receipt.replicas.
    bool explain = false;
};

struct WriteOptions {
    RequestOptions request = {};
    // What a read of this key returned: supersede exactly what it saw. Empty: "I have seen
    // nothing". Absent: supersede all that was acknowledged before.
    std::optional<std::string> context = {};
    // Without a context: do not ask other replicas what to supersede.
    bool blind = false;
    // The value is absent from this time on, Unix milliseconds. Puts only.
    uint64_t expires_ms = 0;
    // Absent: the client makes one. For a program that repeats a write after its own restart.
    std::optional<base::RequestId> request_id = {};
    // Takes the place of `expires_ms`: counted from the moment at which the write was named
    // (request_id), by this client's clock, so that each try of it says the same.
    std::optional<base::Duration> ttl = {};
};

}  // namespace starling::client
