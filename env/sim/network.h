#pragma once

// The simulated network: carries frames between SimTransports by address, unchanged, and does to
// them what the faults of each directed link say. Without faults a connection delivers everything,
// in order, after a random delay.
//
// A connection is a pair of ends. Dialling takes a round trip; frames sent meanwhile wait, and are
// lost when the dial fails. A reset loses what is under way and makes the next frame dial anew. The
// death of a receiver loses what is under way to it; what a process sent before it died still
// arrives. Where duplication is on, a frame may also arrive again: seconds or minutes later, behind
// later frames, on another connection, at the receiver's next life.
//
// Invariant: nothing here iterates over a hashed container, and every draw comes from the network's
// own stream, so a run is a function of its seed.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "env/sim/process.h"
#include "env/sim/random.h"
#include "env/sim/scheduler.h"
#include "env/transport.h"

namespace starling::env {

class SimTransport;

// Of one direction between two addresses.
struct SimLinkFaults {
    base::Duration delay_min = std::chrono::microseconds(50);
    // About exponentially distributed, beyond delay_min.
    base::Duration delay_mean = std::chrono::microseconds(200);
    // With this probability a frame takes up to tail_max longer, and holds up those behind it.
    uint32_t tail_per_million = 0;
    base::Duration tail_max{0};
    uint32_t loss_per_million = 0;
    // A second copy, up to replay_delay_max after the first.
    uint32_t duplicate_per_million = 0;
    base::Duration replay_delay_max = std::chrono::seconds(1);
    // A frame that does not wait for those before it on its connection.
    uint32_t reorder_per_million = 0;
    // A flipped bit: the receiver's checksum refuses the frame and the connection is closed.
    uint32_t corrupt_per_million = 0;
    // The connection breaks when the frame is sent.
    uint32_t reset_per_million = 0;
    // Bytes under way at most; what does not fit is lost, or waits at its sender.
    uint64_t capacity_bytes = UINT64_MAX;
    bool waits_for_capacity = false;
};

// Counts of frames, but where it says otherwise: a run proves with them that its faults hit.
struct SimNetworkStats {
    uint64_t sent = 0;
    uint64_t delivered = 0;
    uint64_t bytes_delivered = 0;
    uint64_t lost = 0;
    uint64_t delayed_by_tail = 0;
    uint64_t duplicated = 0;
    uint64_t replays_delivered = 0;
    // Of these: at a later life of the receiver than the first copy was meant for.
    uint64_t replays_after_restart = 0;
    uint64_t reordered = 0;
    uint64_t cut = 0;
    uint64_t held_by_clog = 0;
    uint64_t corrupted = 0;
    uint64_t over_capacity = 0;
    uint64_t held_by_capacity = 0;
    uint64_t lost_half_open = 0;
    uint64_t lost_by_reset = 0;
    uint64_t lost_to_dead_receiver = 0;
    uint64_t lost_by_failed_dial = 0;
    uint64_t refused_queue_full = 0;
    // Connections.
    uint64_t resets = 0;
    uint64_t dials = 0;
    uint64_t dials_failed = 0;
    uint64_t wrong_secrets = 0;
};

class SimNetwork {
  public:
    struct Options {
        // How long a dial is tried before its frames are given up.
        base::Duration dial_timeout = std::chrono::seconds(2);
        base::Duration dial_retry = std::chrono::milliseconds(200);
        // How long a connection brings nothing before it is given up.
        base::Duration idle_timeout = std::chrono::seconds(10);
    };

    SimNetwork(SimScheduler& scheduler, const SimRandom& random, Options options);
    SimNetwork(SimScheduler& scheduler, const SimRandom& random)
        : SimNetwork(scheduler, random, Options()) {}
    ~SimNetwork();
    SimNetwork(const SimNetwork&) = delete;
    SimNetwork& operator=(const SimNetwork&) = delete;

    // The faults of every link that has none of its own.
    void set_faults(const SimLinkFaults& faults);
    void set_link_faults(const Address& from, const Address& to, const SimLinkFaults& faults);

    // Nothing passes, not even what is under way. One direction: call twice for both.
    void cut(const Address& from, const Address& to);
    void restore(const Address& from, const Address& to);
    // What arrives is held until unclog(), then delivered all at once, in order.
    void clog(const Address& from, const Address& to);
    void unclog(const Address& from, const Address& to);
    // Breaks all connections between the two.
    void reset(const Address& a, const Address& b);
    // All connections between the two are half-open: what `from` sends on them, or what either
    // does, is lost, and nobody is told until the idle timeout. New ones are whole.
    void lose_connections(const Address& from, const Address& to, bool both_ways);
    // Ends all cuts, clogs and half-open connections, and the faults that single links have.
    void heal();

    const SimNetworkStats& stats() const { return stats_; }
    SimScheduler& scheduler() { return scheduler_; }

  private:
    friend class SimTransport;

    // Numbers the addresses met so far.
    using AddressIndex = uint32_t;
    // Numbers the transports made so far, from 1.
    using TransportSerial = uint64_t;

    struct End {
        AddressIndex address = 0;
        TransportSerial serial = 0;
    };
    enum class State { connecting, open, closed, broken };
    enum Side : uint8_t { dialer = 0, acceptor = 1 };

    // Shared with the frames under way on it, which outlive it.
    struct Connection {
        uint64_t number = 0;
        State state = State::connecting;
        std::array<End, 2> ends;
        SimTime dialed_at{0};
        // What the dialer sends before the connection is open.
        std::vector<std::string> waiting;
        // By the sending side.
        std::array<SimTime, 2> last_arrival{};
        std::array<uint64_t, 2> bytes_under_way{};
        // What it sends gets lost.
        std::array<bool, 2> is_lost{};
    };
    using ConnectionPtr = std::shared_ptr<Connection>;

    struct Flight {
        ConnectionPtr connection;
        Side from = dialer;
        std::string frame;
        bool is_replay = false;
        bool is_corrupt = false;
    };
    using FlightPtr = std::unique_ptr<Flight>;

    // A frame that its sender has not got rid of.
    struct Waiting {
        ConnectionPtr connection;
        Side from = dialer;
        std::string frame;
    };

    struct Link {
        std::optional<SimLinkFaults> own_faults;
        bool is_cut = false;
        bool is_clogged = false;
        uint64_t bytes_under_way = 0;
        std::vector<FlightPtr> held;
        // For capacity.
        std::deque<Waiting> waiting;
    };

    static ConnectionId id_at(const Connection& connection, Side side) {
        return connection.number * 2 + side;
    }
    static Side other(Side side) { return side == dialer ? acceptor : dialer; }

    // For SimTransport.
    TransportSerial attach(SimTransport& transport);
    void detach(SimTransport& transport);
    absl::Status send(SimTransport& from, const Address& to, std::string frame);
    absl::Status reply(SimTransport& from, ConnectionId connection, std::string frame);

    AddressIndex index_of(const Address& address);
    Link& link(AddressIndex from, AddressIndex to) { return links_[{from, to}]; }
    Link& link(const Address& from, const Address& to) {
        return link(index_of(from), index_of(to));
    }
    Link& link_of(const Flight& flight);
    const SimLinkFaults& faults_of(const Link& link) const {
        return link.own_faults ? *link.own_faults : faults_;
    }
    // The transport that this end was made with, if it still lives.
    SimTransport* find(const End& end) const;
    SimTransport* find(AddressIndex address) const;

    ConnectionPtr dial(SimTransport& from, AddressIndex to);
    void schedule_dial(ConnectionPtr connection, base::Duration delay);
    void try_dial(const ConnectionPtr& connection);
    bool path_is_clear(const Connection& connection);
    void fail_dial(const ConnectionPtr& connection, absl::Status why);
    void close(Connection& connection, State how);

    std::vector<ConnectionPtr> connections_between(const Address& a, const Address& b);

    absl::Status submit(const ConnectionPtr& connection, Side from, std::string frame);
    void launch(const ConnectionPtr& connection, Side from, std::string frame);
    bool has_room(const Link& way, const std::string& frame) const;
    // What waits for capacity, as far as there is room.
    void send_waiting(Link& way);
    void fly(const ConnectionPtr& connection, Side from, Link& way, std::string frame);
    SimTime draw_arrival(const SimLinkFaults& faults, SimTime& last_arrival);
    void schedule_arrival(SimTime at, FlightPtr flight);
    void arrive(FlightPtr flight);
    void arrive_replay(const Flight& flight);
    void release_held(Link& link);
    void deliver(const End& to, ConnectionId connection, AddressIndex remote, std::string frame);

    SimScheduler& scheduler_;
    SimRandom random_;
    const Options options_;
    SimLinkFaults faults_;
    SimNetworkStats stats_;

    std::map<Address, AddressIndex> indexes_;
    std::vector<Address> addresses_;
    std::vector<SimTransport*> transports_;
    std::map<std::pair<AddressIndex, AddressIndex>, Link> links_;
    std::map<uint64_t, ConnectionPtr> connections_;
    uint64_t last_connection_ = 0;
    TransportSerial last_serial_ = 0;
};

}  // namespace starling::env
