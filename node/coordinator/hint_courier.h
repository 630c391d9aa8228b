#pragma once

// Brings hints to the seats they wait for: in small windows, to whoever holds the seat now, until
// the holder says that it has the write on its disk. Only then is the hint forgotten.
//
// The hints of a seat take turns: one that was refused, or not answered, waits until all others of
// its seat have been tried. A refusal brings no next one before the next round, so that a holder
// that refuses everything is asked for a window of hints in each interval and no more.
//
// Owned by the shard's loop.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

#include "node/coordinator/context.h"

namespace starling::node {

class HintCourier {
  public:
    // How many hints of one seat may be on their way.
    static constexpr size_t window = 16;

    HintCourier(const CoordinatorContext& context, env::Workers& workers, base::Duration interval);

    void start();
    // A holder is back: do not wait for the next round.
    void kick();
    // False when the message answers nothing of the courier's.
    bool on_reply(base::NodeId from, const peer::ReplicaMessage& message);
    void stop();

  private:
    struct Delivery {
        HintKey hint;
        base::NodeId to;
        base::MonotonicTime sent;
    };

    void arm_timer();
    void run_round();
    void deliver_next(const HintStore::Owner& owner);
    // The next in turn, on their way or not.
    std::vector<HintKey> in_turn(const HintStore::Owner& owner) const;
    void deliver(const HintKey& hint, base::NodeId holder);
    void deliver_record(const HintKey& hint,
                        base::NodeId holder,
                        Record record,
                        bool is_whole_write);
    // An error: it cannot be read now. Nullopt: it is not there. Empty: a reference.
    using Loaded = absl::StatusOr<std::optional<std::string>>;
    void load_hint(const HintKey& hint, absl::AnyInvocable<void(Loaded)> done);
    // True when the hint is delivered and removed.
    bool end(uint64_t operation, bool delivered);

    const CoordinatorContext& context_;
    env::Workers& workers_;
    const base::Duration interval_;
    env::TimerId timer_ = 0;
    bool stopped_ = false;

    absl::btree_map<uint64_t, Delivery> deliveries_;
    absl::btree_set<HintKey> on_their_way_;
    std::map<HintStore::Owner, size_t> open_;
    // The hint of each seat that was sent last.
    std::map<HintStore::Owner, HintKey> last_sent_;
};

}  // namespace starling::node
