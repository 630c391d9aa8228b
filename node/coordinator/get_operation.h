#pragma once

// A read at its coordinator, which may be any node:
//
//     collecting -> (settling ->) answered, repairing the rest -> finished
//
// All holders are asked, a holder that coordinates asks itself first and tells the others the
// digest of its record, so that equal ones need not send theirs. GetCore merges and says when the
// read is settled and who is behind; whoever is behind is sent the result. A read of a session
// whose result lacks what the session has seen asks again, at each tick, until its deadline.

#include <optional>
#include <string>
#include <vector>

#include "node/coordinator/get_core.h"
#include "node/coordinator/operation.h"

namespace starling::node {

struct GetPlan {
    GetRequest request;
    NamespaceInfo name_space;
    std::string group_key;
    uint32_t answers_wanted = 0;
    // What the request's session has seen of the key, if it has one.
    std::optional<Context> session = {};
};

class GetOperation final : public Operation {
  public:
    GetOperation(CoordinatorContext& context,
                 uint64_t id,
                 GroupId group,
                 base::Duration deadline,
                 GetPlan plan,
                 KvService::GetCallback done);

    void start() override;
    void on_reply(base::NodeId from, const peer::ReplicaMessage& message) override;
    void on_view_changed() override;
    void abandon(const absl::Status& why) override;

  private:
    void on_tick() override;
    void on_deadline() override;

    void read_here();
    void note_local(const Record& record, uint64_t digest);
    void ask(base::NodeId node);
    void on_read_reply(base::NodeId from, const peer::ReadReply& reply);
    void on_repair_reply(base::NodeId from, const peer::ReplicaMessage& message);
    void on_superseded(base::NodeId from, SeatSet seats, const Record& record);
    // The own record, which has superseded those of the result.
    void read_superseding(const Context& superseded);
    void after_answer();
    bool is_satisfied() const;
    bool may_another_answer_come() const;
    void repair_stale();
    void repair(base::NodeId node, uint64_t digest);
    void answer();
    void fail(absl::Status status);
    uint64_t result_digest() const;
    Record own_record() const;

    GetPlan plan_;
    KvService::GetCallback done_;
    std::vector<base::NodeId> holders_;
    std::vector<base::NodeId> answered_;
    // Of plan_.session, as it travels; empty: nothing must be reflected.
    std::string seen_bytes_;
    OutcomeList outcomes_;
    GetCore core_;
    // Of this node's own record; 0 when it has none, or holds no seat.
    uint64_t local_digest_ = 0;
    bool is_reading_here_ = false;
    // Of the local record, without their values: those of who answers that its are the same.
    std::vector<Sibling> local_bare_;

    // What each node was last sent, to be counted when it answers that very message: an answer to
    // an earlier one says nothing about a result that has grown since.
    struct Repair {
        base::NodeId node;
        uint64_t digest = 0;
        uint8_t attempt = 0;
    };
    std::vector<Repair> repairs_;
    uint32_t repairs_sent_ = 0;
};

}  // namespace starling::node
