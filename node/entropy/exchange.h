#pragma once

// Asks one peer one question at a time, repeats it when no answer comes, and gives up after some
// tries. The questions have no effect on the peer, so asking twice does no harm.

#include <cstdint>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "node/entropy/runtime.h"

namespace starling::node {

class Exchange {
  public:
    // Null message with an error status; else OK and a message with a body of the kind asked for.
    // The callback may destroy the Exchange.
    using Answer = absl::AnyInvocable<void(const absl::Status&, const peer::EntropyMessage*)>;

    Exchange(EntropyRuntime& runtime, base::NodeId peer);
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // Asks as soon as the pace allows. REQUIRES: no question is open. `group.replicas` is 0 for a
    // question about a whole partition. An answer with another body than `expected` is an error,
    // and so is one of another life of the peer than the answers before, or from after it dropped
    // the group: what it said before may not be there any more.
    void ask(GroupId group,
             peer::EntropyMessage question,
             peer::EntropyMessage::BodyCase expected,
             Answer answer);
    // Of this session, from any node.
    void on_message(base::NodeId from, const peer::EntropyMessage& message);

    base::NodeId peer() const { return peer_; }

  private:
    void ask_when_due();
    void send();
    void on_timeout();
    void finish(const absl::Status& status, const peer::EntropyMessage* message);

    // Constant after construction.
    EntropyRuntime& runtime_;
    const base::NodeId peer_;
    const uint64_t session_;

    peer::EntropyMessage question_;
    peer::EntropyMessage::BodyCase expected_{};
    Answer answer_;
    bool is_open_ = false;
    base::MonotonicTime asked_{};
    uint32_t tries_ = 0;
    // Of the first answer.
    std::optional<uint64_t> instance_;
    env::TimerId timer_ = 0;
};

}  // namespace starling::node
