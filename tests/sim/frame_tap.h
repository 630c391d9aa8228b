#pragma once

// Shows the frames a node sends in the trace: what a move or a comparison of replicas did, message
// by message. Between the node and its transport; changes nothing.

#include <string>

#include "env/transport.h"
#include "tests/sim/trace.h"

namespace starling::sim {

class FrameTap final : public env::Transport {
  public:
    FrameTap(env::Transport& transport, Trace& trace, std::string name)
        : transport_(transport), trace_(trace), name_(std::move(name)) {}

    void set_handler(Handler handler) override { transport_.set_handler(std::move(handler)); }
    absl::Status send(const env::Address& to, std::string frame) override;
    absl::Status reply(env::ConnectionId connection, std::string frame) override;
    env::Address local_address() const override { return transport_.local_address(); }
    absl::Status peer_status(const env::Address& to) const override {
        return transport_.peer_status(to);
    }

  private:
    void show(std::string_view to, const std::string& frame);

    env::Transport& transport_;
    Trace& trace_;
    const std::string name_;
};

}  // namespace starling::sim
