#pragma once

// One request under way at its coordinator. An operation feeds a core (PutCore, GetCore) with what
// arrives, and carries out what follows from its state: messages, hints, the answer. It is shared
// between the coordinator's table and the callbacks of disk and timer that are still to come, hence
// shared_ptr.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "node/coordinator/admitted_bytes.h"
#include "node/coordinator/context.h"
#include "starling/peer/replica.pb.h"

namespace starling::node {

class Operation : public std::enable_shared_from_this<Operation> {
  public:
    Operation(CoordinatorContext& context, uint64_t id, GroupId group, base::Duration deadline);
    virtual ~Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    // The room it takes, until it is destroyed.
    void hold(AdmittedBytes bytes) { bytes_.emplace(std::move(bytes)); }
    virtual void start() = 0;
    virtual void on_reply(base::NodeId from, const peer::ReplicaMessage& message) = 0;
    // A seat may have moved to a node that has not been asked.
    virtual void on_view_changed() = 0;

    uint64_t id() const { return id_; }
    // Messages carry the id; its low byte, 0 in the id itself, tells those of one operation apart
    // where it matters which of them an answer is for.
    static uint64_t draw_id(env::Random& random) { return id_of(random.next_id()); }
    static uint64_t id_of(uint64_t message_operation) {
        return message_operation & ~uint64_t{0xff};
    }
    // Nothing more to do: the coordinator has forgotten it.
    bool is_finished() const { return finished_; }
    // Ends it without an answer from others: the node stops.
    virtual void abandon(const absl::Status& why) = 0;
    // The same error for a write that others may have by now.
    static absl::Status outcome_unknown(const absl::Status& why);

  protected:
    // Calls on_tick() at the next of the retry times (hint_after, doubling), or on_deadline().
    // Until finish().
    void arm_timer();
    void finish();
    virtual void on_tick() = 0;
    virtual void on_deadline() = 0;

    peer::ReplicaMessage new_message(uint8_t attempt = 0) const;
    void send(base::NodeId to, peer::ReplicaMessage message) {
        context_.host.send(to, std::move(message));
    }
    base::Duration elapsed() const { return context_.loop.now() - started_; }
    base::Duration time_left() const { return deadline_ - elapsed(); }
    base::NodeId self() const { return context_.host.self(); }
    // Answers the client, once.
    template <typename Done, typename Result>
    void reply(Done& done, Result&& result) {
        if (done == nullptr) return;
        context_.latency.answered(context_.loop.now(), elapsed());
        std::exchange(done, nullptr)(std::forward<Result>(result));
    }
    // A callback that does nothing once the operation is finished.
    template <typename Derived>
    std::shared_ptr<Derived> shared_as() {
        return std::static_pointer_cast<Derived>(shared_from_this());
    }

    CoordinatorContext& context_;
    const GroupId group_;

  private:
    const uint64_t id_;
    const base::MonotonicTime started_;
    const base::Duration deadline_;
    base::Duration next_tick_;
    env::TimerId timer_ = 0;
    bool finished_ = false;
    std::optional<AdmittedBytes> bytes_;
};

}  // namespace starling::node
