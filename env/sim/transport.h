#pragma once

// The transport of one life of a simulated process: one address on a SimNetwork. Frames are handed
// to the handler on the transport's loop. Once its process has crashed it sends and delivers
// nothing.

#include <map>
#include <string>

#include "env/sim/loop.h"
#include "env/sim/network.h"
#include "env/transport.h"

namespace starling::env {

class SimTransport final : public Transport {
  public:
    struct Options {
        std::string secret = {};
        // Bytes that may be under way or waiting on one connection in one direction.
        uint64_t peer_queue_bytes_max = 64u << 20;
    };

    // Takes the address over from the transport of an earlier life. REQUIRES: no living transport
    // has it.
    SimTransport(SimNetwork& network, SimLoop& loop, Address address, Options options);
    ~SimTransport();
    SimTransport(const SimTransport&) = delete;
    SimTransport& operator=(const SimTransport&) = delete;

    void set_handler(Handler handler) override { handler_ = std::move(handler); }
    absl::Status send(const Address& to, std::string frame) override;
    absl::Status reply(ConnectionId connection, std::string frame) override;
    Address local_address() const override { return address_; }
    absl::Status peer_status(const Address& to) const override;

  private:
    friend class SimNetwork;

    bool is_living() const { return loop_.process().is_living(loop_.life()); }

    SimNetwork& network_;
    SimLoop& loop_;
    const Address address_;
    const Options options_;
    SimNetwork::AddressIndex index_ = 0;
    SimNetwork::TransportSerial serial_ = 0;
    Handler handler_;
    // Connections this side dialled, by the address they lead to.
    std::map<SimNetwork::AddressIndex, SimNetwork::ConnectionPtr> dialed_;
    // Why the last dial failed; no entry where it succeeded.
    std::map<SimNetwork::AddressIndex, absl::Status> errors_;
};

}  // namespace starling::env
