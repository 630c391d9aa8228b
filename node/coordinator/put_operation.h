#pragma once

// A put or delete at its coordinator, a holder of the group:
//
//     exchanging -> minting -> collecting -> lingering -> finished
//
// exchanging  a put without context first merges what N-W+1 seats hold, so that it supersedes every
//             write that was acknowledged before; one with a context, or a blind one, skips this,
//             but where the namespace refuses stale writes
// minting     the namespace's conflict policy has its say (conflict_policy.h); the new dot is made
//             from the local record, serially per key; the record goes to all holders
// collecting  PutCore counts answers until the write is acknowledged
// lingering   acknowledged; waits for the other holders a little longer, then leaves hints for
// them,
//             and waits for the stand-ins that it asks
//
// A retry of a request that the local record knows mints nothing: the record as it is goes out
// again and the answers are counted as for a first try.

#include <optional>
#include <string>
#include <vector>

#include "node/coordinator/operation.h"
#include "node/coordinator/put_core.h"

namespace starling::node {

struct PutPlan {
    PutRequest request;
    NamespaceInfo name_space;
    std::string group_key;
    uint32_t acks_wanted = 0;
    bool count_hints = true;
    // The opened context of the request, if it has one and the namespace's policy heeds it.
    std::optional<Superseded> superseded;
    // What the request's session has seen of the key, if it has one.
    std::optional<Context> session = {};
};

class PutOperation final : public Operation {
  public:
    PutOperation(CoordinatorContext& context,
                 uint64_t id,
                 GroupId group,
                 base::Duration deadline,
                 PutPlan plan,
                 KvService::PutCallback done);

    void start() override;
    void on_reply(base::NodeId from, const peer::ReplicaMessage& message) override;
    void on_view_changed() override;
    void abandon(const absl::Status& why) override;

  private:
    enum class Phase { exchanging, minting, collecting, lingering };

    void on_tick() override;
    void on_deadline() override;

    void begin_exchange();
    void ask_for_record(base::NodeId node);
    void on_read_reply(base::NodeId from, const peer::ReadReply& reply);
    uint32_t exchange_wanted() const;
    void mint_when_exchanged();

    void begin_mint();
    void see_what_it_hides(const Record& record);
    void note_for_session(const Record& record);
    void on_local_failure(absl::Status status);
    absl::Status change_record(Record& local, Frontier& frontier);
    absl::Status check_not_expired() const;
    absl::StatusOr<HybridTime> time_by_policy(const Record& local);
    void begin_collect();
    void send_writes();
    void send_missing_writes();
    void send_write(base::NodeId node);
    void send_what_waited();
    void on_write_reply(base::NodeId from, const peer::WriteReply& reply);
    void on_hint_reply(base::NodeId from, const peer::HintReply& reply);
    void after_answer();

    // Leaves the write with stand-ins, or notes it here, for each seat whose holder has not
    // answered. `only_dead`: for holders that are known to be down.
    void place_hints(bool only_dead);
    void place_hint(base::SeatIndex seat);
    // The last of it: no answer of a stand-in is waited for any more.
    void keep_references();
    void keep_reference(base::SeatIndex seat);

    void acknowledge();
    void fail(absl::Status status);
    void fail_unwritten(absl::Status status);
    Receipt make_receipt() const;

    PutPlan plan_;
    KvService::PutCallback done_;
    Phase phase_ = Phase::exchanging;
    std::vector<base::NodeId> holders_;
    OutcomeList outcomes_;

    // exchanging
    SeatTally exchanged_;
    Record exchanged_record_;
    uint64_t local_digest_ = 0;

    // From minting on.
    PutCore core_;
    bool is_repeat_ = false;
    // On this node's disk.
    bool is_durable_ = false;
    // None for a repeated request whose write is superseded already.
    std::optional<Dot> dot_;
    HybridTime time_;
    Superseded result_;
    // What a session that has seen this write has seen of the key.
    Context seen_by_session_;
    std::string record_bytes_;
    // Stand-ins that were given a hint, and for which seats one was placed.
    std::vector<base::NodeId> stand_ins_used_;
    SeatSet hints_placed_;
};

}  // namespace starling::node
