// What other members send, and what is sent to them.

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/mark.h"
#include "gossip/exchange.h"
#include "gossip/gossip.h"

namespace starling::gossip {
namespace {

peer::GossipMessage wrap(peer::StateDelta delta) {
    peer::GossipMessage message;
    *message.mutable_delta() = std::move(delta);
    return message;
}

}  // namespace

// --- Receiving ---

void Gossip::on_message(base::NodeId from, const peer::GossipMessage& message) {
    if (!started_) return;
    ++stats_.messages_received;
    if (crosses_clusters(message)) {
        on_join_message(from, message);
        return;
    }
    if (from.is_none() || from == own_.id) {
        ++stats_.messages_malformed;
        return;
    }
    // While we change clusters, or after we were removed, there is nobody to be convinced by.
    if (join_.state() == JoinCore::State::adopting || is_removed()) {
        STARLING_MARK(gossip_unheard_while_adopting);
        return;
    }
    if (membership_.is_certified_dead(from)) {
        answer_removed(from, message);
        return;
    }
    switch (message.body_case()) {
        case peer::GossipMessage::kSwim:
            on_swim(from, message.swim());
            break;
        case peer::GossipMessage::kDelta:
            on_delta(from, message.delta());
            break;
        case peer::GossipMessage::kSyncStart:
            on_sync_start(from, message.sync_start());
            break;
        case peer::GossipMessage::kSyncDigest:
            on_sync_digest(from, message.sync_digest());
            break;
        case peer::GossipMessage::kJoinAnnounce:
            on_join_announce(message.join_announce());
            break;
        case peer::GossipMessage::kJoinAnnounced: {
            JoinCore::Effects effects;
            join_.on_announced(message.join_announced(), effects);
            run(std::move(effects));
            break;
        }
        default:
            ++stats_.messages_malformed;
    }
}

void Gossip::on_swim(base::NodeId from, const peer::SwimMessage& message) {
    SwimCore::Effects effects = std::move(effects_);
    if (!swim_->on_message(from, message, loop_.now(), effects)) ++stats_.messages_malformed;
    const MemberRecord* known = membership_.find(from);
    const RecordVersion theirs{Incarnation(message.incarnation()).generation(),
                               message.record_version()};
    if (known != nullptr && theirs > known->record_version()) {
        STARLING_MARK(gossip_wants_newer_record);
        peer::StateDelta wish;
        wish.add_wanted_records(from.raw());
        send_to(from, wrap(std::move(wish)));
    }
    run(effects);
    effects_ = std::move(effects);
}

void Gossip::on_delta(base::NodeId from, const peer::StateDelta& delta) {
    StateChanges changes;
    merge_into(membership_, delta, own_.id, changes);
    if (delta.wanted_records_size() + delta.wanted_items_size() > 0) {
        DeltaWriter writer(options_.message_bytes_target);
        answer_wanted(membership_, delta, writer);
        const auto known = membership_.address_of(from);
        if (is_address(delta.address())) {
            STARLING_MARK(gossip_answers_wish_of_unknown_address);
            send_deltas(delta.address(), from, writer);
        } else if (known) {
            send_deltas(*known, from, writer);
        }
    }
    take_in(std::move(changes), delta.spread());
}

void Gossip::on_sync_start(base::NodeId from, const peer::SyncStart& start) {
    SwimCore::Effects effects;
    if (!is_address(start.address()) ||
        !swim_->on_updates(from, start.updates(), loop_.now(), effects)) {
        ++stats_.messages_malformed;
        return;
    }
    if (start.state_hash() != membership_.hash()) {
        STARLING_MARK(gossip_states_differ);
        peer::GossipMessage message;
        peer::SyncDigest& digest = *message.mutable_sync_digest();
        digest = make_digest(membership_);
        digest.set_address(own_.peer_address);
        swim_->append_claims(*digest.mutable_updates());
        send(start.address(), from, std::move(message));
    } else {
        swim_->answer_claims(from, start.updates(), effects);
    }
    run(effects);
}

void Gossip::on_sync_digest(base::NodeId from, const peer::SyncDigest& digest) {
    SwimCore::Effects effects;
    if (!is_address(digest.address()) || !is_valid(digest) ||
        !swim_->on_updates(from, digest.updates(), loop_.now(), effects)) {
        ++stats_.messages_malformed;
        return;
    }
    StateChanges changes;
    merge_into(membership_, digest.certificates(), changes);
    DeltaWriter writer(options_.message_bytes_target);
    answer_digest(membership_, digest, writer);
    send_deltas(digest.address(), from, writer);
    swim_->answer_claims(from, digest.updates(), effects);
    run(effects);
    take_in(std::move(changes), false);
}

void Gossip::answer_removed(base::NodeId from, const peer::GossipMessage& message) {
    // Its record is gone, so only a message that says where it came from can be answered.
    ++stats_.dead_refused;
    const std::string address = message.has_sync_start()    ? message.sync_start().address()
                                : message.has_sync_digest() ? message.sync_digest().address()
                                                            : std::string();
    if (!is_address(address)) return;
    peer::StateDelta delta;
    to_proto(membership_.certificates().at(from), *delta.add_certificates());
    send(address, from, wrap(std::move(delta)));
}

// --- Sending ---

void Gossip::run(SwimCore::Effects& effects) {
    for (SwimCore::Send& out : effects.sends) {
        peer::GossipMessage message;
        message.mutable_swim()->Swap(&out.message);
        send_to(out.to, std::move(message));
    }
    effects.sends.clear();
    // The host may call back, and stop us.
    for (const SwimCore::Change& change : effects.changes) {
        if (!started_) break;
        const auto address = membership_.address_of(change.node);
        if (!address) continue;
        host_.liveness_changed(change.node, change.liveness);
        if (started_ && change.was == Liveness::dead && change.liveness == Liveness::alive) {
            STARLING_MARK(gossip_exchange_with_revived);
            // Much may have happened on both sides while we did not see each other.
            start_exchange(*address, change.node);
        }
    }
    effects.changes.clear();
    if (started_ && !is_removed()) arm_swim();
}

void Gossip::send(const env::Address& to, base::NodeId to_node, peer::GossipMessage message) {
    if (!started_) return;
    ++stats_.messages_sent;
    host_.send(to, to_node, std::move(message));
}

void Gossip::send_to(base::NodeId node, peer::GossipMessage message) {
    const MemberRecord* record = membership_.find(node);
    if (record != nullptr) send(record->peer_address, node, std::move(message));
}

void Gossip::send_deltas(const env::Address& to, base::NodeId to_node, DeltaWriter& writer) {
    for (peer::StateDelta& delta : writer.finish()) {
        delta.set_address(own_.peer_address);
        send(to, to_node, wrap(std::move(delta)));
    }
}

void Gossip::start_exchange(const env::Address& to, base::NodeId to_node) {
    peer::GossipMessage message;
    peer::SyncStart& start = *message.mutable_sync_start();
    start.set_state_hash(membership_.hash());
    start.set_address(own_.peer_address);
    swim_->append_claims(*start.mutable_updates());
    send(to, to_node, std::move(message));
}

std::vector<base::NodeId> Gossip::random_others(size_t count, bool are_dead) {
    std::vector<base::NodeId> others;
    others.reserve(membership_.members().size());
    for (const auto& [node, member] : membership_.members()) {
        if (node != own_.id && member.record.state != MemberState::left &&
            (swim_->liveness(node) == Liveness::dead) == are_dead) {
            others.push_back(node);
        }
    }
    draw_.sample(others, count);
    return others;
}

void Gossip::push_soon() {
    if (push_timer_.is_armed()) return;
    const base::MonotonicTime now = loop_.now();
    const bool is_free =
        last_push_ == base::MonotonicTime::min() || now - last_push_ >= options_.push_interval;
    // Never at once: changes of one event leave together.
    push_timer_.arm(is_free ? now : last_push_ + options_.push_interval, [this] { push_now(); });
}

void Gossip::push_now() {
    last_push_ = loop_.now();
    DeltaWriter writer(options_.message_bytes_target);
    for (const base::NodeId node : push_certificates_) {
        writer.add(membership_.certificates().at(node));
    }
    for (const base::NodeId node : push_records_) {
        if (const MemberRecord* record = membership_.find(node)) writer.add(*record);
    }
    for (const std::string& key : push_items_) {
        if (const SharedItem* item = membership_.find_item(key)) writer.add_item(key, *item);
    }
    push_certificates_.clear();
    push_records_.clear();
    push_items_.clear();

    if (is_removed()) return;

    const size_t members = membership_.active_count();
    const bool is_small = members <= options_.push_to_all_max;
    const auto fanout = static_cast<size_t>(std::ceil(std::log(static_cast<double>(members + 1)))) +
                        options_.push_fanout_extra;
    const std::vector<base::NodeId> targets = random_others(is_small ? members : fanout);
    for (peer::StateDelta& delta : writer.finish()) {
        delta.set_spread(!is_small);
        for (const base::NodeId node : targets)
            send_to(node, wrap(delta));
    }
}

void Gossip::exchange_now() {
    if (is_removed()) return;
    arm_exchange();
    const std::vector<base::NodeId> living = random_others(1);
    // Who is held dead may not know of us, and then cannot answer a ping.
    for (const auto& chosen : {living, random_others(1, true)}) {
        for (const base::NodeId node : chosen)
            start_exchange(membership_.find(node)->peer_address, node);
    }
    // Alone, or cut off, or all have moved.
    if (living.empty() && !options_.seeds.empty()) {
        const env::Address& seed = options_.seeds[draw_.below(options_.seeds.size())];
        if (seed != own_.peer_address) start_exchange(seed, base::NodeId());
    }
}

}  // namespace starling::gossip
