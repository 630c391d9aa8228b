#include "storage/log/sync_rounds.h"

#include <algorithm>
#include <utility>

namespace starling::storage {

namespace {

// A wait in vain takes about as long as a sync does, so at worst it costs a hundredth.
constexpr uint32_t pause_max = 64;

}  // namespace

SyncRounds::Part SyncRounds::join() {
    if (!has_leader_) {
        has_leader_ = true;
        return Part::called;
    }
    // With the last one that is waited for, this is the leader in whose stead it leads.
    ++followers_;
    if (absent_ > 0 && --absent_ == 0) {
        pause_ -= std::min(pause_, 1u);
        return Part::leader;
    }
    return Part::follower;
}

uint32_t SyncRounds::gather() {
    if (pause_left_ > 0) {
        --pause_left_;
        return 0;
    }
    absent_at_first_ = expected_ - std::min(expected_, followers_);
    absent_ = absent_at_first_;
    return absent_;
}

bool SyncRounds::end_gather(Round round) {
    if (round != forming_ || absent_ == 0) {
        return false;
    }
    if (std::exchange(absent_, 0) > absent_at_first_ / 2) {
        pause_ = std::min(2 * pause_ + 2, pause_max);
        pause_left_ = pause_;
    }
    return true;
}

void SyncRounds::close() {
    ++forming_;
    sleepers_ = std::exchange(followers_, 0);
}

SyncRounds::End SyncRounds::end() {
    const End end{.calls_leader = followers_ > 0, .has_sleepers = sleepers_ > 0};
    expected_ = followers_ + sleepers_;
    if (end.calls_leader) {
        --followers_;
    } else {
        has_leader_ = false;
    }
    return end;
}

}  // namespace starling::storage
