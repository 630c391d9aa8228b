#include "gossip/swim_core.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "gossip/membership.h"

namespace starling::gossip {
namespace {

constexpr size_t relays_max = 1024;

bool is_valid(const LivenessUpdates& updates) {
    return static_cast<size_t>(updates.size()) <= members_max &&
           std::ranges::all_of(updates, [](const peer::LivenessUpdate& update) {
               return peer::LivenessUpdate::State_IsValid(update.state());
           });
}

// REQUIRES: a valid state.
LivenessClaim from_proto(const peer::LivenessUpdate& update) {
    LivenessClaim claim{.node = base::NodeId(update.node()),
                        .incarnation = Incarnation(update.incarnation()),
                        .liveness = Liveness::alive,
                        .accuser = base::NodeId(update.accuser())};
    if (update.state() == peer::LivenessUpdate::SUSPECT) claim.liveness = Liveness::suspect;
    if (update.state() == peer::LivenessUpdate::DEAD) claim.liveness = Liveness::dead;
    return claim;
}

void to_proto(const LivenessClaim& claim, peer::LivenessUpdate& out) {
    out.set_node(claim.node.raw());
    out.set_incarnation(claim.incarnation.raw());
    out.set_accuser(claim.accuser.raw());
    switch (claim.liveness) {
        case Liveness::alive:
            out.set_state(peer::LivenessUpdate::ALIVE);
            break;
        case Liveness::suspect:
            out.set_state(peer::LivenessUpdate::SUSPECT);
            break;
        case Liveness::dead:
            out.set_state(peer::LivenessUpdate::DEAD);
            break;
    }
}

// Of two claims about one node the greater one holds.
auto strength(const LivenessClaim& claim) {
    return std::pair(claim.incarnation, claim.liveness);
}

}  // namespace

SwimCore::SwimCore(const SwimOptions& options,
                   base::NodeId self,
                   uint32_t generation,
                   uint64_t seed,
                   base::MonotonicTime now)
    : options_(options),
      self_(self),
      incarnation_(Incarnation::first_of(generation)),
      draw_(seed),
      awareness_(options.awareness_max),
      // Answers to an earlier life of this node must not fit.
      sequence_(draw_.next() >> 1) {
    STARLING_CHECK(options.probe_interval.count() > 0 && options.probe_timeout.count() > 0 &&
                   options.spread_interval.count() > 0 && options.dead_probe_interval.count() > 0);
    // Nodes that start together do not probe together.
    const auto phase = [&](base::Duration interval) {
        return now + base::Duration(static_cast<base::Duration::rep>(
                         draw_.below(static_cast<uint64_t>(interval.count()))));
    };
    next_probe_at_ = phase(options.probe_interval);
    next_dead_probe_at_ = phase(options.dead_probe_interval);
    next_spread_at_ = now;
}

void SwimCore::set_member(base::NodeId node, uint32_t generation, Effects& effects) {
    STARLING_CHECK(node != self_);
    const auto [found, is_new] = peers_.try_emplace(node);
    Peer& peer = found->second;
    if (is_new) {
        peer.incarnation = Incarnation::first_of(generation);
        schedule_.add(node, draw_);
    } else if (generation > peer.incarnation.generation()) {
        STARLING_MARK(swim_new_life_of_member);
        queue_.remove(node);
        set_alive(node, peer, Incarnation::first_of(generation), effects);
    }
}

void SwimCore::remove_member(base::NodeId node) {
    if (peers_.erase(node) == 0) return;
    suspects_.erase(node);
    dead_.erase(node);
    schedule_.remove(node);
    queue_.remove(node);
    if (probe_ && probe_->target == node) probe_.reset();
    std::erase_if(relays_, [node](const Relay& relay) {
        return relay.target == node || relay.asker == node;
    });
}

bool SwimCore::on_message(base::NodeId from,
                          const peer::SwimMessage& message,
                          base::MonotonicTime now,
                          Effects& effects) {
    if (!peer::SwimMessage::Kind_IsValid(message.kind()) || !is_valid(message.updates())) {
        return false;
    }
    count_pause(now);
    if (!peers_.contains(from)) return true;
    apply({.node = from,
           .incarnation = Incarnation(message.incarnation()),
           .liveness = Liveness::alive,
           .accuser = from},
          now,
          effects);
    for (const auto& update : message.updates())
        apply(from_proto(update), now, effects);
    switch (message.kind()) {
        case peer::SwimMessage::PING:
            on_ping(from, message, effects);
            break;
        case peer::SwimMessage::ACK:
            on_ack(from, message, effects);
            break;
        case peer::SwimMessage::PING_REQUEST:
            on_ping_request(from, message, now, effects);
            break;
        case peer::SwimMessage::NACK:
            on_nack(from, message);
            break;
        default:
            break;
    }
    return true;
}

bool SwimCore::on_updates(base::NodeId from,
                          const LivenessUpdates& updates,
                          base::MonotonicTime now,
                          Effects& effects) {
    if (!is_valid(updates)) return false;
    count_pause(now);
    if (!peers_.contains(from)) return true;
    for (const auto& update : updates)
        apply(from_proto(update), now, effects);
    return true;
}

void SwimCore::on_ping(base::NodeId from, const peer::SwimMessage& message, Effects& effects) {
    if (base::NodeId(message.target()) != self_) return;
    send(from, peer::SwimMessage::ACK, message.sequence(), self_, effects);
}

void SwimCore::on_ack(base::NodeId from, const peer::SwimMessage& message, Effects& effects) {
    const base::NodeId target(message.target());
    if (probe_ && probe_->sequence == message.sequence() && probe_->target == target &&
        (from == target || probe_->is_indirect)) {
        probe_.reset();
        awareness_.improve();
        return;
    }
    const auto relay = std::ranges::find_if(relays_, [&](const Relay& r) {
        return r.sequence == message.sequence() && r.target == from;
    });
    if (relay == relays_.end()) {
        STARLING_MARK(swim_late_ack);
        return;
    }
    STARLING_MARK(swim_ack_relayed);
    send(relay->asker, peer::SwimMessage::ACK, relay->asker_sequence, relay->target, effects);
    relays_.erase(relay);
}

void SwimCore::on_nack(base::NodeId from, const peer::SwimMessage& message) {
    if (probe_ && probe_->sequence == message.sequence()) {
        STARLING_MARK(swim_helper_got_no_answer);
        std::erase(probe_->helpers, from);
    }
}

void SwimCore::on_ping_request(base::NodeId from,
                               const peer::SwimMessage& message,
                               base::MonotonicTime now,
                               Effects& effects) {
    const base::NodeId target(message.target());
    if (target == from || !peers_.contains(target) || relays_.size() >= relays_max) return;
    STARLING_MARK(swim_asked_to_help);
    const uint64_t sequence = ++sequence_;
    // Lifeguard: the nack leaves a little before the asker's patience ends.
    relays_.push_back({.asker = from,
                       .asker_sequence = message.sequence(),
                       .target = target,
                       .sequence = sequence,
                       .deadline = now + options_.probe_timeout * 4 / 5,
                       .forget_at = now + options_.probe_interval});
    send(target, peer::SwimMessage::PING, sequence, target, effects);
}

void SwimCore::apply(const LivenessClaim& claim, base::MonotonicTime now, Effects& effects) {
    if (claim.node == self_) {
        apply_to_self(claim, now);
        return;
    }
    const auto found = peers_.find(claim.node);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    if (claim.incarnation.generation() != peer.incarnation.generation() ||
        !claim.incarnation.can_be_refuted() || claim.incarnation < peer.incarnation) {
        return;
    }
    const bool is_newer = claim.incarnation > peer.incarnation;
    switch (claim.liveness) {
        case Liveness::alive:
            if (is_newer) {
                STARLING_MARK(swim_refuted);
                set_alive(claim.node, peer, claim.incarnation, effects);
                spread(claim, now);
            }
            break;
        case Liveness::suspect:
            if (is_newer || peer.liveness == Liveness::alive) {
                set_suspect(peer, claim, now, effects);
            } else if (peer.liveness == Liveness::suspect &&
                       (claim.accuser == self_ || peers_.contains(claim.accuser)) &&
                       peer.suspicion->confirm(claim.accuser)) {
                STARLING_MARK(swim_suspicion_confirmed);
                spread(claim, now);
            }
            break;
        case Liveness::dead:
            if (is_newer || peer.liveness != Liveness::dead) set_dead(peer, claim, now, effects);
            break;
    }
}

void SwimCore::apply_to_self(const LivenessClaim& claim, base::MonotonicTime now) {
    if (claim.liveness == Liveness::alive || claim.incarnation < incarnation_ ||
        claim.incarnation.generation() != incarnation_.generation() ||
        !claim.incarnation.can_be_refuted()) {
        return;
    }
    incarnation_ = STARLING_PLANTED(refutation_same_incarnation) ? claim.incarnation
                                                                 : claim.incarnation.next();
    STARLING_MARK(swim_refutes);
    ++refutations_;
    // Lifeguard: to be suspected is a sign that we are slow.
    awareness_.worsen(1);
    spread(
        {.node = self_, .incarnation = incarnation_, .liveness = Liveness::alive, .accuser = self_},
        now);
}

void SwimCore::set_alive(base::NodeId node, Peer& peer, Incarnation incarnation, Effects& effects) {
    peer.incarnation = incarnation;
    peer.suspicion.reset();
    suspects_.erase(node);
    dead_.erase(node);
    if (peer.liveness != Liveness::alive) {
        effects.changes.push_back({node, Liveness::alive, peer.liveness});
    }
    peer.liveness = Liveness::alive;
}

void SwimCore::set_suspect(Peer& peer,
                           const LivenessClaim& claim,
                           base::MonotonicTime now,
                           Effects& effects) {
    peer.incarnation = claim.incarnation;
    peer.suspicion.emplace(now, claim.accuser, suspicion_timeouts(options_, member_count()));
    dead_.erase(claim.node);
    suspects_.insert(claim.node);
    if (peer.liveness != Liveness::suspect) {
        effects.changes.push_back({claim.node, Liveness::suspect, peer.liveness});
    }
    peer.liveness = Liveness::suspect;
    spread(claim, now);
    // A few of those who hear of a suspicion look for themselves at once, instead of when the
    // suspect's turn comes: the truth, whichever it is, comes out sooner.
    const bool is_witness =
        draw_.below(member_count()) < uint64_t{2} * options_.suspicion_confirmations;
    if (claim.accuser != self_ && is_witness) {
        STARLING_MARK(swim_witness_looks_itself);
        to_verify_ = claim.node;
    }
}

void SwimCore::set_dead(Peer& peer,
                        const LivenessClaim& claim,
                        base::MonotonicTime now,
                        Effects& effects) {
    peer.incarnation = claim.incarnation;
    peer.suspicion.reset();
    suspects_.erase(claim.node);
    // Deadlines of what was idle lie in the past, and would pass for a pause of ours.
    if (dead_.empty()) next_dead_probe_at_ = now + options_.dead_probe_interval;
    dead_.insert(claim.node);
    if (peer.liveness != Liveness::dead) {
        effects.changes.push_back({claim.node, Liveness::dead, peer.liveness});
    }
    peer.liveness = Liveness::dead;
    if (probe_ && probe_->target == claim.node) {
        STARLING_MARK(swim_probed_member_is_dead);
        probe_.reset();
    }
    spread(claim, now);
}

void SwimCore::spread(const LivenessClaim& claim, base::MonotonicTime now) {
    if (queue_.empty()) next_spread_at_ = std::max(next_spread_at_, now);
    queue_.add(claim);
}

void SwimCore::tick(base::MonotonicTime now, Effects& effects) {
    count_pause(now);
    run_relays(now, effects);
    run_probe(now, effects);
    run_suspicions(now, effects);
    run_dead_probe(now, effects);
    run_spread(now, effects);
}

base::MonotonicTime SwimCore::next_deadline() const {
    base::MonotonicTime deadline = next_probe_at_;
    if (probe_) {
        deadline = std::min(deadline,
                            probe_->is_indirect ? probe_->final_deadline : probe_->direct_deadline);
    }
    for (const Relay& relay : relays_) {
        deadline = std::min(deadline, relay.nack_sent ? relay.forget_at : relay.deadline);
    }
    for (const base::NodeId node : suspects_) {
        deadline = std::min(deadline, peers_.at(node).suspicion->deadline());
    }
    if (!dead_.empty()) deadline = std::min(deadline, next_dead_probe_at_);
    if (!queue_.empty() && dead_.size() < peers_.size()) {
        deadline = std::min(deadline, next_spread_at_);
    }
    return deadline;
}

// A process that was stopped, or a machine that was, finds on waking that all its timers have run
// out, with the answers it waits for still unread.
void SwimCore::count_pause(base::MonotonicTime now) {
    const base::Duration late = now - next_deadline();
    if (late <= options_.probe_interval) return;
    STARLING_MARK(swim_pause_noticed);
    if (probe_) {
        probe_->direct_deadline += late;
        probe_->final_deadline += late;
    }
    for (Relay& relay : relays_) {
        relay.deadline += late;
        relay.forget_at += late;
    }
    for (const base::NodeId node : suspects_)
        peers_.at(node).suspicion->shift(late);
    next_probe_at_ += late;
    next_dead_probe_at_ = std::max(next_dead_probe_at_, now);
    next_spread_at_ = std::max(next_spread_at_, now);
    awareness_.worsen(1);
}

void SwimCore::run_relays(base::MonotonicTime now, Effects& effects) {
    for (Relay& relay : relays_) {
        if (relay.nack_sent || now < relay.deadline) continue;
        STARLING_MARK(swim_nack_sent);
        relay.nack_sent = true;
        send(relay.asker, peer::SwimMessage::NACK, relay.asker_sequence, relay.target, effects);
    }
    std::erase_if(relays_, [now](const Relay& relay) { return now >= relay.forget_at; });
}

void SwimCore::run_probe(base::MonotonicTime now, Effects& effects) {
    if (probe_ && !probe_->is_indirect && now >= probe_->direct_deadline) ask_helpers(effects);
    if (probe_ && now >= probe_->final_deadline) fail_probe(now, effects);
    if (now >= next_probe_at_) start_probe(now, effects);
}

void SwimCore::ask_helpers(Effects& effects) {
    STARLING_MARK(swim_probe_indirect);
    probe_->is_indirect = true;
    probe_->helpers = random_live_peers(options_.indirect_probes, probe_->target);
    probe_->helpers_asked = static_cast<uint32_t>(probe_->helpers.size());
    for (const base::NodeId helper : probe_->helpers) {
        send(helper, peer::SwimMessage::PING_REQUEST, probe_->sequence, probe_->target, effects);
    }
    // The first ping may just have been lost; and a cluster of two has no helpers.
    send(probe_->target, peer::SwimMessage::PING, probe_->sequence, probe_->target, effects);
}

void SwimCore::fail_probe(base::MonotonicTime now, Effects& effects) {
    STARLING_MARK(swim_probe_failed);
    // Helpers that did not even answer that they got no answer speak against us, not against the
    // target.
    awareness_.worsen(probe_->helpers_asked > 0 ? static_cast<uint32_t>(probe_->helpers.size())
                                                : 1);
    const base::NodeId target = probe_->target;
    probe_.reset();
    const auto found = peers_.find(target);
    if (found == peers_.end()) return;
    apply({.node = target,
           .incarnation = found->second.incarnation,
           .liveness = Liveness::suspect,
           .accuser = self_},
          now,
          effects);
}

void SwimCore::start_probe(base::MonotonicTime now, Effects& effects) {
    next_probe_at_ = now + awareness_.scale(options_.probe_interval);
    // Members held dead have probes of their own.
    base::NodeId target = std::exchange(to_verify_, base::NodeId());
    const auto found = peers_.find(target);
    if (found == peers_.end() || found->second.liveness != Liveness::suspect) {
        target = base::NodeId();
    }
    for (size_t i = 0; i < schedule_.size() && target.is_none(); ++i) {
        const base::NodeId next = schedule_.next(draw_);
        if (!dead_.contains(next)) target = next;
    }
    if (target.is_none()) return;
    probe_ = Probe{.target = target,
                   .sequence = ++sequence_,
                   .direct_deadline = now + awareness_.scale(options_.probe_timeout),
                   .final_deadline = next_probe_at_,
                   .helpers = {}};
    send(target, peer::SwimMessage::PING, probe_->sequence, target, effects);
}

void SwimCore::run_suspicions(base::MonotonicTime now, Effects& effects) {
    // Copied, because apply() changes the set.
    std::vector<LivenessClaim> expired;
    for (const base::NodeId node : suspects_) {
        const Peer& peer = peers_.at(node);
        if (peer.suspicion->deadline() > now) continue;
        STARLING_MARK(swim_suspicion_expired);
        expired.push_back({.node = node,
                           .incarnation = peer.incarnation,
                           .liveness = Liveness::dead,
                           .accuser = self_});
    }
    for (const LivenessClaim& claim : expired)
        apply(claim, now, effects);
}

void SwimCore::run_dead_probe(base::MonotonicTime now, Effects& effects) {
    if (now < next_dead_probe_at_) return;
    next_dead_probe_at_ = now + options_.dead_probe_interval;
    if (dead_.empty()) return;
    auto next = dead_.upper_bound(last_dead_probed_);
    if (next == dead_.end()) next = dead_.begin();
    STARLING_MARK(swim_dead_probed);
    last_dead_probed_ = *next;
    // Nobody waits for this answer: what counts is the incarnation that it carries.
    send(*next, peer::SwimMessage::PING, ++sequence_, *next, effects);
}

void SwimCore::run_spread(base::MonotonicTime now, Effects& effects) {
    if (now < next_spread_at_ || queue_.empty()) return;
    next_spread_at_ = now + options_.spread_interval;
    for (const base::NodeId node : random_live_peers(options_.spread_fanout, self_)) {
        if (queue_.empty()) break;
        send(node, peer::SwimMessage::UPDATES, 0, base::NodeId(), effects);
    }
}

void SwimCore::send(base::NodeId to,
                    peer::SwimMessage::Kind kind,
                    uint64_t sequence,
                    base::NodeId target,
                    Effects& effects) {
    Send& out = effects.sends.emplace_back();
    out.to = to;
    peer::SwimMessage& message = out.message;
    message.set_kind(kind);
    message.set_sequence(sequence);
    message.set_target(target.raw());
    message.set_incarnation(incarnation_.raw());
    message.set_record_version(record_version_);
    const auto found = peers_.find(to);
    const bool is_accused = found != peers_.end() && found->second.liveness != Liveness::alive;
    // The accused hears it first, so that its next message can refute.
    if (is_accused) to_proto(claim_about(to, found->second), *message.add_updates());
    // News is not wasted on the dead.
    if (queue_.empty() || (is_accused && found->second.liveness == Liveness::dead)) return;
    outgoing_.clear();
    queue_.take(options_.updates_per_message_max, send_limit(), outgoing_);
    for (const LivenessClaim& claim : outgoing_) {
        if (!is_accused || claim.node != to) to_proto(claim, *message.add_updates());
    }
}

void SwimCore::append_claims(LivenessUpdates& out) const {
    for (const auto* group : {&suspects_, &dead_}) {
        for (const base::NodeId node : *group)
            to_proto(claim_about(node, peers_.at(node)), *out.Add());
    }
}

void SwimCore::answer_claims(base::NodeId to, const LivenessUpdates& theirs, Effects& effects) {
    if (!peers_.contains(to) || !is_valid(theirs)) return;
    absl::btree_map<base::NodeId, LivenessClaim> claimed;
    for (const auto& update : theirs)
        claimed[base::NodeId(update.node())] = from_proto(update);
    peer::SwimMessage message;
    const auto tell = [&](const LivenessClaim& claim) {
        if (claim.node != to) to_proto(claim, *message.add_updates());
    };
    for (const auto& [node, claim] : claimed) {
        const auto found = peers_.find(node);
        if (found == peers_.end()) continue;
        const LivenessClaim ours = claim_about(node, found->second);
        if (strength(ours) > strength(claim)) tell(ours);
    }
    for (const auto* group : {&suspects_, &dead_}) {
        for (const base::NodeId node : *group) {
            if (!claimed.contains(node)) tell(claim_about(node, peers_.at(node)));
        }
    }
    if (message.updates().empty() && !claimed.contains(self_)) return;
    STARLING_MARK(swim_claims_answered);
    send(to, peer::SwimMessage::UPDATES, 0, base::NodeId(), effects);
    effects.sends.back().message.mutable_updates()->MergeFrom(message.updates());
}

Liveness SwimCore::liveness(base::NodeId node) const {
    if (node == self_) return Liveness::alive;
    const auto found = peers_.find(node);
    return found == peers_.end() ? Liveness::dead : found->second.liveness;
}

std::vector<base::NodeId> SwimCore::random_live_peers(size_t count, base::NodeId except) {
    std::vector<base::NodeId> nodes;
    nodes.reserve(peers_.size());
    for (const auto& [node, peer] : peers_) {
        if (node != except && peer.liveness != Liveness::dead) nodes.push_back(node);
    }
    draw_.sample(nodes, count);
    return nodes;
}

uint32_t SwimCore::send_limit() const {
    const double scale = std::ceil(std::log10(static_cast<double>(member_count()) + 1.0));
    return std::max(1u, options_.retransmit_multiplier) * static_cast<uint32_t>(scale);
}

LivenessClaim SwimCore::claim_about(base::NodeId node, const Peer& peer) const {
    return {
        .node = node,
        .incarnation = peer.incarnation,
        .liveness = peer.liveness,
        // To the accused it does not matter who accused; to others we are a witness only of deaths.
        .accuser = base::NodeId()};
}

}  // namespace starling::gossip
