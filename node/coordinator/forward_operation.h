#pragma once

// A write at a node that holds no seat of the group: only a holder mints (rule R1), so the request
// goes to one holder after another, live ones first, until one answers. Trying the next while the
// last is still silent is safe: both work under one request id.

#include <cstdint>
#include <string>
#include <vector>

#include "node/coordinator/operation.h"

namespace starling::node {

class ForwardOperation final : public Operation {
  public:
    ForwardOperation(CoordinatorContext& context,
                     uint64_t id,
                     GroupId group,
                     base::Duration deadline,
                     PutRequest request,
                     KvService::PutCallback done);

    void start() override;
    void on_reply(base::NodeId from, const peer::ReplicaMessage& message) override;
    void on_view_changed() override {}
    void abandon(const absl::Status& why) override;

  private:
    struct Question {
        base::NodeId to;
        uint8_t attempt = 0;
    };

    void on_tick() override;
    void on_deadline() override;

    void try_next();
    void end(absl::StatusOr<PutResult> result);

    PutRequest request_;
    KvService::PutCallback done_;
    // Holders that have been asked in this round, and those of all rounds that never answered.
    std::vector<base::NodeId> tried_;
    bool may_have_begun_ = false;
    // Who was asked may have written. A frame may be repeated, and its refusal then answers no
    // later question.
    std::vector<Question> unanswered_;
    uint8_t attempts_ = 0;
    absl::Status last_refusal_;
    // One holder has said that it may have written.
    absl::Status open_outcome_;
};

// The request as a peer sends it, and its answer.
peer::ForwardRequest to_message(const PutRequest& request, base::Duration time_left);
PutRequest from_message(const peer::ForwardRequest& message);
peer::ForwardReply to_message(const absl::StatusOr<PutResult>& result);
absl::StatusOr<PutResult> from_message(const peer::ForwardReply& reply,
                                       base::NodeId coordinator,
                                       base::PartitionId partition);

}  // namespace starling::node
