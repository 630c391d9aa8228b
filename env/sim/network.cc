#include "env/sim/network.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "env/sim/transport.h"

namespace starling::env {
namespace {

const EventLabel dial_label("network.dial");
const EventLabel arrival_label("network.arrival");
const EventLabel release_label("network.release");
const EventLabel delivery_label("network.delivery");
const EventLabel idle_label("network.idle");

}  // namespace

SimNetwork::SimNetwork(SimScheduler& scheduler, const SimRandom& random, Options options)
    : scheduler_(scheduler), random_(random.fork("network")), options_(options) {}

SimNetwork::~SimNetwork() {
    scheduler_.drop_context(this);
}

// --- Faults ---

void SimNetwork::set_faults(const SimLinkFaults& faults) {
    faults_ = faults;
    for (auto& [ends, link] : links_) {
        send_waiting(link);
    }
}

void SimNetwork::set_link_faults(const Address& from,
                                 const Address& to,
                                 const SimLinkFaults& faults) {
    Link& way = link(from, to);
    way.own_faults = faults;
    send_waiting(way);
}

void SimNetwork::cut(const Address& from, const Address& to) {
    link(from, to).is_cut = true;
}

void SimNetwork::restore(const Address& from, const Address& to) {
    link(from, to).is_cut = false;
}

void SimNetwork::clog(const Address& from, const Address& to) {
    link(from, to).is_clogged = true;
}

void SimNetwork::unclog(const Address& from, const Address& to) {
    release_held(link(from, to));
}

std::vector<SimNetwork::ConnectionPtr> SimNetwork::connections_between(const Address& a,
                                                                       const Address& b) {
    const AddressIndex index_a = index_of(a);
    const AddressIndex index_b = index_of(b);
    std::vector<ConnectionPtr> between;
    for (const auto& [number, connection] : connections_) {
        const AddressIndex from = connection->ends[dialer].address;
        const AddressIndex to = connection->ends[acceptor].address;
        if ((from == index_a && to == index_b) || (from == index_b && to == index_a)) {
            between.push_back(connection);
        }
    }
    return between;
}

void SimNetwork::reset(const Address& a, const Address& b) {
    for (const ConnectionPtr& connection : connections_between(a, b)) {
        ++stats_.resets;
        stats_.lost_by_reset += connection->waiting.size();
        close(*connection, State::broken);
    }
}

void SimNetwork::lose_connections(const Address& from, const Address& to, bool both_ways) {
    const AddressIndex sender = index_of(from);
    for (ConnectionPtr& connection : connections_between(from, to)) {
        if (connection->state != State::open) {
            continue;
        }
        for (const Side side : {dialer, acceptor}) {
            if (both_ways || connection->ends[side].address == sender) {
                connection->is_lost[side] = true;
            }
        }
        scheduler_.schedule_after(
            options_.idle_timeout,
            {.context = this, .label = &idle_label, .task = [this, c = std::move(connection)] {
                 if (c->state == State::open) {
                     close(*c, State::broken);
                 }
             }});
    }
}

void SimNetwork::heal() {
    std::vector<ConnectionPtr> half_open;
    for (const auto& [number, connection] : connections_) {
        if (connection->is_lost[dialer] || connection->is_lost[acceptor]) {
            half_open.push_back(connection);
        }
    }
    for (const ConnectionPtr& connection : half_open) {
        close(*connection, State::broken);
    }
    for (auto& [ends, link] : links_) {
        link.is_cut = false;
        link.own_faults.reset();
        release_held(link);
        send_waiting(link);
    }
}

void SimNetwork::release_held(Link& link) {
    link.is_clogged = false;
    std::vector<FlightPtr> held = std::exchange(link.held, {});
    for (FlightPtr& flight : held) {
        scheduler_.schedule_after(
            SimTime::zero(),
            {.context = this,
             .label = &release_label,
             .task = [this, f = std::move(flight)]() mutable { arrive(std::move(f)); }});
    }
}

// --- Ends ---

SimNetwork::AddressIndex SimNetwork::index_of(const Address& address) {
    const auto [found, is_new] =
        indexes_.try_emplace(address, static_cast<AddressIndex>(addresses_.size()));
    if (is_new) {
        addresses_.push_back(address);
        transports_.push_back(nullptr);
    }
    return found->second;
}

SimNetwork::TransportSerial SimNetwork::attach(SimTransport& transport) {
    SimTransport*& place = transports_[transport.index_];
    STARLING_CHECK_MSG(place == nullptr || !place->is_living(), transport.address_);
    place = &transport;
    return ++last_serial_;
}

void SimNetwork::detach(SimTransport& transport) {
    std::vector<ConnectionPtr> mine;
    for (const auto& [number, connection] : connections_) {
        if (connection->ends[dialer].serial == transport.serial_ ||
            connection->ends[acceptor].serial == transport.serial_) {
            mine.push_back(connection);
        }
    }
    for (const ConnectionPtr& connection : mine) {
        close(*connection, State::closed);
    }
    if (transports_[transport.index_] == &transport) {
        transports_[transport.index_] = nullptr;
    }
}

SimTransport* SimNetwork::find(AddressIndex address) const {
    SimTransport* const transport = transports_[address];
    return transport != nullptr && transport->is_living() ? transport : nullptr;
}

SimTransport* SimNetwork::find(const End& end) const {
    SimTransport* const transport = find(end.address);
    return transport != nullptr && transport->serial_ == end.serial ? transport : nullptr;
}

// --- Connections ---

SimNetwork::ConnectionPtr SimNetwork::dial(SimTransport& from, AddressIndex to) {
    ++stats_.dials;
    auto connection = std::make_shared<Connection>();
    connection->number = ++last_connection_;
    connection->ends[dialer] = {.address = from.index_, .serial = from.serial_};
    connection->ends[acceptor] = {.address = to, .serial = 0};
    connection->dialed_at = scheduler_.now();
    connections_.emplace(connection->number, connection);
    from.dialed_[to] = connection;
    const SimLinkFaults& there = faults_of(link(from.index_, to));
    const SimLinkFaults& back = faults_of(link(to, from.index_));
    // In statements of their own: the order of operands is the compiler's.
    const base::Duration way_there = there.delay_min + random_.exponential(there.delay_mean);
    const base::Duration way_back = back.delay_min + random_.exponential(back.delay_mean);
    schedule_dial(connection, way_there + way_back);
    return connection;
}

void SimNetwork::schedule_dial(ConnectionPtr connection, base::Duration delay) {
    scheduler_.schedule_after(
        delay, {.context = this, .label = &dial_label, .task = [this, c = std::move(connection)] {
                    try_dial(c);
                }});
}

void SimNetwork::try_dial(const ConnectionPtr& connection) {
    SimTransport* const from = find(connection->ends[dialer]);
    if (connection->state != State::connecting || from == nullptr) {
        return;
    }
    SimTransport* const to = find(connection->ends[acceptor].address);
    if (!path_is_clear(*connection) || (to != nullptr && to->loop_.process().is_paused())) {
        if (scheduler_.now() - connection->dialed_at < options_.dial_timeout) {
            schedule_dial(connection, options_.dial_retry);
        } else {
            fail_dial(connection, absl::UnavailableError("no answer"));
        }
        return;
    }
    if (to == nullptr) {
        fail_dial(connection, absl::UnavailableError("connection refused"));
        return;
    }
    if (to->options_.secret != from->options_.secret) {
        ++stats_.wrong_secrets;
        fail_dial(connection,
                  base::make_error(absl::StatusCode::kPermissionDenied,
                                   base::reason::wrong_secret,
                                   fmt::format("{} holds another cluster secret", to->address_)));
        return;
    }
    connection->state = State::open;
    connection->ends[acceptor].serial = to->serial_;
    from->errors_.erase(to->index_);
    for (std::string& frame : std::exchange(connection->waiting, {})) {
        connection->bytes_under_way[dialer] -= frame.size();
        launch(connection, dialer, std::move(frame));
    }
}

// A handshake is a frame each way.
bool SimNetwork::path_is_clear(const Connection& connection) {
    const AddressIndex from = connection.ends[dialer].address;
    const AddressIndex to = connection.ends[acceptor].address;
    for (const Link* const way : {&link(from, to), &link(to, from)}) {
        if (way->is_cut || way->is_clogged || random_.chance(faults_of(*way).loss_per_million)) {
            return false;
        }
    }
    return true;
}

void SimNetwork::fail_dial(const ConnectionPtr& connection, absl::Status why) {
    ++stats_.dials_failed;
    stats_.lost_by_failed_dial += connection->waiting.size();
    if (SimTransport* const from = find(connection->ends[dialer]); from != nullptr) {
        from->errors_[connection->ends[acceptor].address] = std::move(why);
    }
    close(*connection, State::closed);
}

void SimNetwork::close(Connection& connection, State how) {
    connection.state = how;
    connection.waiting.clear();
    const AddressIndex from = connection.ends[dialer].address;
    SimTransport* const transport = transports_[from];
    if (transport != nullptr && transport->serial_ == connection.ends[dialer].serial) {
        const auto dialed = transport->dialed_.find(connection.ends[acceptor].address);
        if (dialed != transport->dialed_.end() && dialed->second.get() == &connection) {
            transport->dialed_.erase(dialed);
        }
    }
    connections_.erase(connection.number);
}

// --- Frames ---

absl::Status SimNetwork::send(SimTransport& from, const Address& to, std::string frame) {
    const AddressIndex index = index_of(to);
    const auto dialed = from.dialed_.find(index);
    const ConnectionPtr connection =
        dialed != from.dialed_.end() ? dialed->second : dial(from, index);
    return submit(connection, dialer, std::move(frame));
}

absl::Status SimNetwork::reply(SimTransport& from, ConnectionId id, std::string frame) {
    const auto found = connections_.find(id / 2);
    const Side side = id % 2 == 0 ? dialer : acceptor;
    if (found == connections_.end() || found->second->ends[side].serial != from.serial_) {
        return absl::OkStatus();
    }
    // A copy: the connection may break, and be forgotten, while this frame is sent.
    const ConnectionPtr connection = found->second;
    return submit(connection, side, std::move(frame));
}

absl::Status SimNetwork::submit(const ConnectionPtr& connection, Side from, std::string frame) {
    const SimTransport& sender = *find(connection->ends[from]);
    uint64_t& under_way = connection->bytes_under_way[from];
    if (under_way + frame.size() > sender.options_.peer_queue_bytes_max) {
        ++stats_.refused_queue_full;
        return absl::ResourceExhaustedError(
            fmt::format("the queue to {} is full: {} bytes",
                        addresses_[connection->ends[other(from)].address],
                        under_way));
    }
    ++stats_.sent;
    if (connection->state == State::connecting) {
        under_way += frame.size();
        connection->waiting.push_back(std::move(frame));
    } else {
        launch(connection, from, std::move(frame));
    }
    return absl::OkStatus();
}

void SimNetwork::launch(const ConnectionPtr& connection, Side from, std::string frame) {
    const AddressIndex sender = connection->ends[from].address;
    const AddressIndex receiver = connection->ends[other(from)].address;
    scheduler_.mix(frame);
    scheduler_.mix(uint64_t{sender} << 32 | receiver);
    Link& way = link(sender, receiver);
    const SimLinkFaults& faults = faults_of(way);
    if (connection->state != State::open || random_.chance(faults.reset_per_million)) {
        ++stats_.lost_by_reset;
        if (connection->state == State::open) {
            ++stats_.resets;
            close(*connection, State::broken);
        }
        return;
    }
    if (connection->is_lost[from]) {
        ++stats_.lost_half_open;
        return;
    }
    if (way.is_cut) {
        ++stats_.cut;
        return;
    }
    if (!way.waiting.empty() || !has_room(way, frame)) {
        if (!faults.waits_for_capacity) {
            ++stats_.over_capacity;
            return;
        }
        ++stats_.held_by_capacity;
        connection->bytes_under_way[from] += frame.size();
        way.waiting.push_back({.connection = connection, .from = from, .frame = std::move(frame)});
        return;
    }
    fly(connection, from, way, std::move(frame));
}

// What is larger than the path passes it alone, where it would wait for ever.
bool SimNetwork::has_room(const Link& way, const std::string& frame) const {
    const SimLinkFaults& faults = faults_of(way);
    return frame.size() <=
               faults.capacity_bytes - std::min(way.bytes_under_way, faults.capacity_bytes) ||
           (faults.waits_for_capacity && way.bytes_under_way == 0);
}

void SimNetwork::send_waiting(Link& way) {
    while (!way.waiting.empty()) {
        Waiting& first = way.waiting.front();
        Connection& connection = *first.connection;
        const bool is_gone = connection.state != State::open;
        const bool is_lost = !is_gone && connection.is_lost[first.from];
        if (!is_gone && !is_lost && !has_room(way, first.frame)) {
            return;
        }
        Waiting next = std::move(first);
        way.waiting.pop_front();
        connection.bytes_under_way[next.from] -= next.frame.size();
        if (is_gone) {
            ++stats_.lost_by_reset;
        } else if (is_lost) {
            ++stats_.lost_half_open;
        } else {
            fly(next.connection, next.from, way, std::move(next.frame));
        }
    }
}

void SimNetwork::fly(const ConnectionPtr& connection, Side from, Link& way, std::string frame) {
    const SimLinkFaults& faults = faults_of(way);
    if (random_.chance(faults.loss_per_million)) {
        ++stats_.lost;
        return;
    }
    const SimTime arrival = draw_arrival(faults, connection->last_arrival[from]);
    auto flight = std::make_unique<Flight>(
        Flight{.connection = connection, .from = from, .frame = std::move(frame)});
    if (random_.chance(faults.duplicate_per_million)) {
        ++stats_.duplicated;
        auto copy = std::make_unique<Flight>(*flight);
        copy->is_replay = true;
        schedule_arrival(arrival + random_.between(base::Duration::zero(), faults.replay_delay_max),
                         std::move(copy));
    }
    flight->is_corrupt = random_.chance(faults.corrupt_per_million);
    schedule_arrival(arrival, std::move(flight));
}

SimTime SimNetwork::draw_arrival(const SimLinkFaults& faults, SimTime& last_arrival) {
    SimTime arrival = scheduler_.now() + faults.delay_min + random_.exponential(faults.delay_mean);
    if (random_.chance(faults.tail_per_million)) {
        ++stats_.delayed_by_tail;
        arrival += random_.between(base::Duration::zero(), faults.tail_max);
    }
    if (random_.chance(faults.reorder_per_million)) {
        stats_.reordered += arrival < last_arrival ? 1u : 0u;
        return arrival;
    }
    last_arrival = std::max(arrival, last_arrival);
    return last_arrival;
}

SimNetwork::Link& SimNetwork::link_of(const Flight& flight) {
    const auto& ends = flight.connection->ends;
    return link(ends[flight.from].address, ends[other(flight.from)].address);
}

void SimNetwork::schedule_arrival(SimTime at, FlightPtr flight) {
    if (!flight->is_replay) {
        link_of(*flight).bytes_under_way += flight->frame.size();
        flight->connection->bytes_under_way[flight->from] += flight->frame.size();
    }
    scheduler_.schedule_at(
        at,
        {.context = this, .label = &arrival_label, .task = [this, f = std::move(flight)]() mutable {
             arrive(std::move(f));
         }});
}

void SimNetwork::arrive(FlightPtr flight) {
    Link& way = link_of(*flight);
    if (way.is_clogged) {
        ++stats_.held_by_clog;
        way.held.push_back(std::move(flight));
        return;
    }
    if (flight->is_replay) {
        if (way.is_cut) {
            ++stats_.cut;
        } else {
            arrive_replay(*flight);
        }
        return;
    }
    Connection& connection = *flight->connection;
    const Side to = other(flight->from);
    way.bytes_under_way -= flight->frame.size();
    connection.bytes_under_way[flight->from] -= flight->frame.size();
    send_waiting(way);
    if (way.is_cut) {
        ++stats_.cut;
    } else if (connection.state == State::broken) {
        ++stats_.lost_by_reset;
    } else if (find(connection.ends[to]) == nullptr) {
        ++stats_.lost_to_dead_receiver;
        close(connection, State::closed);
        if (faults_of(way).duplicate_per_million != 0) {
            arrive_replay(*flight);
        }
    } else if (flight->is_corrupt) {
        ++stats_.corrupted;
        ++stats_.resets;
        close(connection, State::broken);
    } else {
        ++stats_.delivered;
        deliver(connection.ends[to],
                id_at(connection, to),
                connection.ends[flight->from].address,
                std::move(flight->frame));
    }
}

void SimNetwork::arrive_replay(const Flight& flight) {
    const Connection& connection = *flight.connection;
    const Side to = other(flight.from);
    const End& meant = connection.ends[to];
    const SimTransport* const receiver = find(meant.address);
    if (receiver == nullptr) {
        return;
    }
    ++stats_.replays_delivered;
    stats_.replays_after_restart += receiver->serial_ != meant.serial ? 1u : 0u;
    // On a connection of its own where the first one is gone.
    const bool is_same = connection.state == State::open && receiver->serial_ == meant.serial;
    const ConnectionId id = is_same ? id_at(connection, to) : ++last_connection_ * 2 + to;
    deliver({.address = meant.address, .serial = receiver->serial_},
            id,
            connection.ends[flight.from].address,
            flight.frame);
}

void SimNetwork::deliver(const End& to,
                         ConnectionId connection,
                         AddressIndex remote,
                         std::string frame) {
    SimTransport& receiver = *find(to);
    SimProcess& process = receiver.loop_.process();
    if (process.is_paused()) {
        scheduler_.schedule_after(
            SimTime::zero(),
            {.owner = process.owner(),
             .context = &receiver.loop_,
             .label = &delivery_label,
             .task = [this, to, connection, remote, f = std::move(frame)]() mutable {
                 if (find(to) != nullptr) {
                     deliver(to, connection, remote, std::move(f));
                 }
             }});
        return;
    }
    stats_.bytes_delivered += frame.size();
    if (receiver.handler_ == nullptr) {
        return;
    }
    scheduler_.run_as(process.owner(), &receiver.loop_, [&] {
        receiver.handler_({.connection = connection, .remote = addresses_[remote], .frame = frame});
    });
}

}  // namespace starling::env
