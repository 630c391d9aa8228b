#pragma once

// Who of those that call Log::sync() at the same time does it for the others, in rounds: a round
// takes callers while it forms, is closed when its leader has written out what they appended, and
// ends when that is synced. The next round forms meanwhile; when the one before it ends, one of its
// followers is called to lead it.
//
// Threads that write in a loop come back soon after they were released. So a leader waits a moment
// for those that the last round released (gather), that fewer and fuller rounds do for all; the
// last of them to come leads in its stead, since it is awake. A lone caller waits for nobody, and
// where they do not come back most rounds begin at once.
//
// Decides only: no lock, no thread, no time. Owned by one mutex.

#include <cstdint>

namespace starling::storage {

class SyncRounds {
  public:
    using Round = uint32_t;
    enum class Part : uint8_t {
        follower,
        // Shall gather(), then lead.
        called,
        leader,
    };
    struct End {
        // A follower of the next round is to be called.
        bool calls_leader = false;
        // Followers of this round sleep.
        bool has_sleepers = false;
    };

    // Of a caller that joins round forming().
    Part join();
    // How many callers the leader of the forming round waits for; 0: it leads at once.
    uint32_t gather();
    // It has waited long enough. False: another one leads `round`, and it is a follower.
    bool end_gather(Round round);
    // Whoever comes from now on joins the next round.
    void close();
    // REQUIRES: closed.
    End end();

    Round forming() const { return forming_; }

  private:
    Round forming_ = 0;
    // A round is under way, or its leader has been called.
    bool has_leader_ = false;
    // Who waits without leading: for the forming round, and for the one that was closed last.
    uint32_t followers_ = 0;
    uint32_t sleepers_ = 0;
    // So many may come to a round beside its leader: who waited when the last one ended, and who
    // was released by it.
    uint32_t expected_ = 0;
    // Of them, those that the leader waits for: when it began to, and still.
    uint32_t absent_at_first_ = 0;
    uint32_t absent_ = 0;
    // So many rounds are led at once after one whose leader waited in vain: more each time, and
    // fewer again when they come.
    uint32_t pause_ = 0;
    uint32_t pause_left_ = 0;
};

}  // namespace starling::storage
