// How this node enters a cluster, and how it lets others in.

#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"
#include "gossip/gossip.h"

namespace starling::gossip {

// --- Letting in ---

void Gossip::on_join_message(base::NodeId from, const peer::GossipMessage& message) {
    if (message.has_join_request()) {
        on_join_request(message.join_request());
    } else if (message.has_join_reply()) {
        JoinCore::Effects effects;
        join_.on_reply(from, message.join_reply(), loop_.now(), effects);
        run(std::move(effects));
    }
}

void Gossip::on_join_request(const peer::JoinRequest& request) {
    auto offer = from_proto(request);
    if (!offer.ok()) {
        ++stats_.messages_malformed;
        return;
    }
    const absl::Status status = admit(*offer);
    peer::GossipMessage message;
    if (status.ok()) {
        granted_until_ = loop_.now() + options_.join_timeout;
        *message.mutable_join_reply() =
            make_grant(request.nonce(), cluster_, membership_, offer->record.id);
    } else {
        STARLING_MARK(gossip_join_refused);
        *message.mutable_join_reply() = make_refusal(request.nonce(), status);
    }
    send(offer->record.peer_address, offer->record.id, std::move(message));
}

absl::Status Gossip::admit(const JoinOffer& offer) const {
    if (offer.record.id == own_.id && offer.record.peer_address == own_.peer_address) {
        STARLING_MARK(gossip_join_to_itself);
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::unknown_node,
                                "that address is this node's own; name one of another node");
    }
    if (join_.state() == JoinCore::State::asking || join_.state() == JoinCore::State::adopting ||
        is_removed()) {
        STARLING_MARK(gossip_join_asked_of_a_joiner);
        return base::make_error(absl::StatusCode::kUnavailable,
                                base::reason::stopping,
                                "the node that was asked is about to leave its cluster");
    }
    return check_join(offer, cluster_, known_joiner(offer.record));
}

void Gossip::on_join_announce(const peer::JoinAnnounce& announce) {
    auto record = decode_member(announce.record());
    if (!record.ok() || record->id == own_.id) {
        ++stats_.messages_malformed;
        return;
    }
    StateChanges changes;
    const MergeResult result = membership_.merge(*record);
    changes.conflicts += is_conflict(result);
    if (is_change(result)) changes.records.push_back(*record);
    const base::NodeId node = record->id;
    take_in(std::move(changes), true);
    if (!started_ || membership_.find(node) == nullptr) return;
    peer::GossipMessage message;
    message.mutable_join_announced()->set_nonce(announce.nonce());
    send(record->peer_address, node, std::move(message));
}

// --- Entering ---

void Gossip::join(const env::Address& address, JoinCallback done) {
    const auto refuse = [&](absl::StatusCode code, std::string_view why, std::string_view message) {
        done(base::make_error(code, why, message));
    };
    if (!started_ || is_removed()) {
        refuse(absl::StatusCode::kFailedPrecondition,
               base::reason::stopping,
               "the node is not running");
    } else if (!is_address(address) || address == own_.peer_address) {
        refuse(absl::StatusCode::kInvalidArgument,
               base::reason::unknown_node,
               "the address must be another node's, of at most 255 bytes");
    } else if (join_callback_) {
        STARLING_MARK(gossip_join_under_way_already);
        refuse(absl::StatusCode::kUnavailable, base::reason::overloaded, "a join is under way");
    } else if (membership_.active_count() > 1) {
        STARLING_MARK(gossip_join_of_a_member);
        // Who asks this of a node that has lost sight of its cluster at least lets it meet that
        // address.
        start_exchange(address, base::NodeId());
        refuse(absl::StatusCode::kFailedPrecondition,
               base::reason::already_member,
               fmt::format("this node is in cluster {} of {} members already",
                           base::to_string(cluster_.id),
                           membership_.active_count()));
    } else if (host_.holds_data()) {
        STARLING_MARK(gossip_join_with_data);
        refuse(absl::StatusCode::kFailedPrecondition,
               base::reason::has_data,
               "this node holds data of its own, which joining would lose; "
               "let it start with an empty data directory");
    } else if (loop_.now() < granted_until_) {
        STARLING_MARK(gossip_join_while_being_joined);
        refuse(absl::StatusCode::kUnavailable,
               base::reason::overloaded,
               "another node is about to join this one");
    } else {
        join_callback_ = std::move(done);
        JoinOffer offer{.cluster = cluster_, .members = 1, .holds_data = false, .record = own_};
        JoinCore::Effects effects;
        join_.ask(std::move(offer), address, loop_.now(), effects);
        run(std::move(effects));
    }
}

bool Gossip::joining() const {
    return join_.state() != JoinCore::State::idle;
}

KnownJoiner Gossip::known_joiner(const MemberRecord& record) const {
    return {.peer_address = membership_.address_of(record.id),
            .is_alive = swim_->liveness(record.id) != Liveness::dead,
            .is_certified_dead = membership_.is_certified_dead(record.id)};
}

void Gossip::run(JoinCore::Effects effects) {
    for (JoinCore::Send& out : effects.sends)
        send(out.to, out.to_node, std::move(out.message));
    arm_join();
    if (effects.adopt) adopt(*std::move(effects.adopt));
    if (effects.is_acknowledged && own_.state == MemberState::joining) {
        const absl::Status status =
            update_own([](MemberRecord& own) { own.state = MemberState::member; });
        STARLING_CHECK(status.ok());
    }
    if (effects.finished && join_callback_) {
        std::exchange(join_callback_, nullptr)(*std::move(effects.finished));
    }
}

void Gossip::adopt(JoinGrant grant) {
    const JoinGrant copy = grant;
    host_.adopt_cluster(copy,
                        [this, life = std::weak_ptr<bool>(life_), grant = std::move(grant)](
                            const absl::Status& status) mutable {
                            if (!life.expired()) adopted(status, std::move(grant));
                        });
}

void Gossip::adopted(const absl::Status& status, JoinGrant grant) {
    JoinCore::Effects effects;
    join_.adopted(status, effects);
    if (!status.ok()) {
        STARLING_MARK(gossip_adoption_failed);
        // What the adoption has held back.
        if (is_dirty_) persist_soon();
    } else {
        cluster_ = std::move(grant.cluster);
        membership_ = std::move(grant.membership);
        push_records_.clear();
        push_certificates_.clear();
        push_items_.clear();
        StateChanges news;
        for (const auto& [node, member] : membership_.members())
            news.records.push_back(member.record);
        for (const auto& [node, dead] : membership_.certificates())
            news.certificates.push_back(dead);
        for (const auto& [key, item] : membership_.items())
            news.items.push_back(key);
        own_.state = MemberState::joining;
        ++own_.version;
        own_changed();
        take_in(std::move(news), false);
        if (!started_) return;
        join_.announce(own_, membership_, loop_.now(), effects);
    }
    run(std::move(effects));
}

}  // namespace starling::gossip
