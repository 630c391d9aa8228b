#pragma once

// Clients with a session: each writes a key of its own and reads it, and the keys that all share,
// with R = 1 through whatever node, and presents its session tokens. Operations hold each answer
// against what the session had seen (session_promise.h).

#include <deque>
#include <map>

#include "tests/sim/operations.h"

namespace starling::sim {

class SessionUsers {
  public:
    struct World {
        env::SimScheduler& scheduler;
        const env::SimRandom& random;
        const RunOptions& options;
        Oracle& oracle;
    };

    // Makes the users' keys in the oracle, of `name_space`. The first `shared_keys` are those of
    // other clients.
    SessionUsers(World world, size_t shared_keys, const node::NamespaceInfo& name_space);
    ~SessionUsers();
    SessionUsers(const SessionUsers&) = delete;
    SessionUsers& operator=(const SessionUsers&) = delete;

    // Some reads have the longest deadline that nodes allow; none of those ends after `until`.
    // REQUIRES: before end(), the operations outlive this.
    void begin(Operations& operations, SimTime until);
    void end() { running_ = false; }

  private:
    struct User {
        KeyIndex own_key;
        std::map<KeyIndex, SessionSeen> seen = {};
    };

    void next(User& user);
    void step(User& user);
    void write(User& user);
    void read(User& user, KeyIndex key);
    base::Duration draw_ttl();

    const World world_;
    env::SimRandom random_;
    env::SimRandom patience_;
    const size_t shared_keys_;
    Operations* operations_ = nullptr;
    SimTime until_{0};
    // Each stays where it is: callbacks know it.
    std::deque<User> users_;
    bool running_ = false;
    uint64_t serial_ = 0;
};

}  // namespace starling::sim
