#include "gossip/join_core.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"

namespace starling::gossip {

void JoinCore::ask(JoinOffer offer, env::Address known, base::MonotonicTime now, Effects& effects) {
    STARLING_CHECK(state_ == State::idle);
    state_ = State::asking;
    offer_ = std::move(offer);
    known_ = std::move(known);
    is_awaited_ = true;
    give_up_at_ = now + timeout_;
    last_refusal_ = absl::OkStatus();
    ++nonce_;
    send_request(now, effects);
}

void JoinCore::send_request(base::MonotonicTime now, Effects& effects) {
    retry_at_ = now + retry_interval_;
    peer::GossipMessage message;
    *message.mutable_join_request() = to_proto(offer_, nonce_);
    effects.sends.push_back({known_, base::NodeId(), std::move(message)});
}

void JoinCore::on_reply(base::NodeId from,
                        const peer::JoinReply& reply,
                        base::MonotonicTime now,
                        Effects& effects) {
    if (state_ != State::asking || reply.nonce() != nonce_) return;
    auto grant = read_reply(reply, offer_);
    if (!grant.ok()) {
        // Busy, not unwilling: ask again, but not at once.
        if (absl::IsUnavailable(grant.status())) {
            STARLING_MARK(join_asked_node_is_busy);
            last_refusal_ = grant.status();
            retry_at_ = std::max(retry_at_, now + retry_interval_);
            return;
        }
        STARLING_MARK(join_refused);
        state_ = State::idle;
        finish(grant.status(), effects);
        return;
    }
    state_ = State::adopting;
    contact_ = from;
    effects.adopt = *std::move(grant);
}

void JoinCore::adopted(const absl::Status& status, Effects& effects) {
    STARLING_CHECK(state_ == State::adopting);
    if (status.ok()) return;
    STARLING_MARK(join_adoption_failed);
    state_ = State::idle;
    finish(status, effects);
}

void JoinCore::announce(const MemberRecord& own,
                        const Membership& membership,
                        base::MonotonicTime now,
                        Effects& effects) {
    STARLING_CHECK(state_ == State::idle || state_ == State::adopting);
    state_ = State::announcing;
    is_contact_asked_ = false;
    ++nonce_;
    send_announce(own, membership, now, effects);
}

void JoinCore::send_announce(const MemberRecord& own,
                             const Membership& membership,
                             base::MonotonicTime now,
                             Effects& effects) {
    retry_at_ = now + retry_interval_;
    const auto& members = membership.members();
    // The member that accepted us, then the others in turn.
    auto next = is_contact_asked_ ? members.upper_bound(contact_) : members.lower_bound(contact_);
    const auto is_fit = [&own](const Membership::Member& member) {
        return member.record.id != own.id && member.record.state != MemberState::left;
    };
    size_t tried = 0;
    for (; tried < members.size(); ++tried, ++next) {
        if (next == members.end()) next = members.begin();
        if (is_fit(next->second)) break;
    }
    if (tried == members.size()) return;
    contact_ = next->first;
    is_contact_asked_ = true;
    peer::GossipMessage message;
    message.mutable_join_announce()->set_nonce(nonce_);
    message.mutable_join_announce()->set_record(encode(own));
    effects.sends.push_back({next->second.record.peer_address, contact_, std::move(message)});
}

void JoinCore::on_announced(const peer::JoinAnnounced& announced, Effects& effects) {
    if (state_ != State::announcing || announced.nonce() != nonce_) return;
    state_ = State::idle;
    effects.is_acknowledged = true;
    finish(absl::OkStatus(), effects);
}

void JoinCore::tick(const MemberRecord& own,
                    const Membership& membership,
                    base::MonotonicTime now,
                    Effects& effects) {
    if (is_awaited_ && now >= give_up_at_) {
        if (state_ == State::asking) {
            STARLING_MARK(join_got_no_answer);
            state_ = State::idle;
            finish(
                !last_refusal_.ok()
                    ? last_refusal_
                    : base::make_error(
                          absl::StatusCode::kDeadlineExceeded,
                          base::reason::deadline,
                          fmt::format("no answer from {}; is it up, does it hold the same cluster "
                                      "secret, and can it reach this node at {}?",
                                      known_,
                                      offer_.record.peer_address)),
                effects);
        } else if (state_ == State::announcing) {
            STARLING_MARK(join_not_confirmed_in_time);
            finish(base::make_error(absl::StatusCode::kDeadlineExceeded,
                                    base::reason::deadline,
                                    "the cluster was joined, but no member has confirmed it yet; "
                                    "the node goes on announcing itself"),
                   effects);
        }
    }
    if (now < retry_at_) return;
    if (state_ == State::asking) {
        STARLING_MARK(join_asks_again);
        send_request(now, effects);
    }
    if (state_ == State::announcing) {
        STARLING_MARK(join_announces_again);
        send_announce(own, membership, now, effects);
    }
}

std::optional<base::MonotonicTime> JoinCore::next_deadline() const {
    if (state_ != State::asking && state_ != State::announcing) return std::nullopt;
    return is_awaited_ ? std::min(retry_at_, give_up_at_) : retry_at_;
}

void JoinCore::finish(const absl::Status& status, Effects& effects) {
    if (!is_awaited_) return;
    is_awaited_ = false;
    effects.finished = status;
}

}  // namespace starling::gossip
