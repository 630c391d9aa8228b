#include "gossip/gossip.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"
#include "gossip/exchange.h"

namespace starling::gossip {
namespace {

constexpr size_t start_exchanges = 3;

bool is_address(const std::string& text) {
    return !text.empty() && text.size() <= member_string_bytes_max;
}

peer::GossipMessage wrap(peer::StateDelta delta) {
    peer::GossipMessage message;
    *message.mutable_delta() = std::move(delta);
    return message;
}

}  // namespace

Gossip::Gossip(GossipOptions options, env::EventLoop& loop, env::Random& random, GossipHost& host)
    : options_(std::move(options)),
      loop_(loop),
      host_(host),
      draw_(random.next()),
      join_(options_, random.next() >> 1),
      swim_timer_(loop),
      exchange_timer_(loop),
      push_timer_(loop),
      persist_timer_(loop),
      join_timer_(loop) {
    STARLING_CHECK(options_.exchange_interval.count() > 0);
}

Gossip::~Gossip() = default;

// --- Life ---

void Gossip::start(ClusterIdentity cluster, MemberRecord own, Membership restored) {
    STARLING_CHECK(!started_);
    STARLING_CHECK_MSG(validate(own).ok(), "the node's own record breaks a limit");
    started_ = true;
    life_ = std::make_shared<bool>(true);
    cluster_ = std::move(cluster);
    own_ = std::move(own);
    membership_ = std::move(restored);
    swim_.emplace(options_.swim, own_.id, own_.generation, draw_.next(), loop_.now());
    swim_->set_record_version(own_.version);
    SwimCore::Effects ignored;
    for (const auto& [node, member] : membership_.members())
        watch(member.record, ignored);

    const MemberRecord* earlier = membership_.find(own_.id);
    const std::optional<MemberRecord> conflict =
        earlier != nullptr && earlier->generation >= own_.generation ? std::optional(*earlier)
                                                                     : std::nullopt;
    if (conflict) check_identity(*conflict);
    if (!started_) return;
    if (is_removed()) {
        host_.member_removed(membership_.certificates().at(own_.id));
        return;
    }
    arm_swim();
    arm_exchange();
    own_changed();
    for (const base::NodeId node : random_others(start_exchanges)) {
        start_exchange(membership_.find(node)->peer_address, node);
    }
    if (own_.state == MemberState::joining && membership_.active_count() > 1) {
        STARLING_MARK(gossip_announces_after_restart);
        // We adopted this cluster, and went down before anybody had confirmed it.
        JoinCore::Effects effects;
        join_.announce(own_, membership_, loop_.now(), effects);
        run(std::move(effects));
    }
}

void Gossip::stop() {
    if (!started_) return;
    if (is_dirty_) persist_now();
    started_ = false;
    life_.reset();
    swim_timer_.cancel();
    exchange_timer_.cancel();
    push_timer_.cancel();
    persist_timer_.cancel();
    join_timer_.cancel();
    if (join_callback_) {
        std::exchange(join_callback_, nullptr)(base::make_error(
            absl::StatusCode::kCancelled, base::reason::stopping, "the node stops"));
    }
}

bool Gossip::started() const {
    return started_;
}

// --- Messages ---

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

void Gossip::on_join_message(base::NodeId from, const peer::GossipMessage& message) {
    if (message.has_join_request()) {
        on_join_request(message.join_request());
    } else if (message.has_join_reply()) {
        JoinCore::Effects effects;
        join_.on_reply(from, message.join_reply(), loop_.now(), effects);
        run(std::move(effects));
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

// --- Changes ---

void Gossip::take_in(StateChanges changes, bool pass_on) {
    stats_.record_conflicts += changes.conflicts;
    stats_.dead_refused += changes.dead_refused;
    stats_.messages_malformed += changes.refused;
    SwimCore::Effects effects;
    for (const DeathCertificate& certificate : changes.certificates) {
        swim_->remove_member(certificate.node);
    }
    for (const MemberRecord& record : changes.records) {
        if (membership_.find(record.id) != nullptr) watch(record, effects);
    }
    if (!changes.empty()) {
        persist_soon();
        if (pass_on && membership_.active_count() > options_.push_to_all_max) {
            for (const auto& record : changes.records)
                push_records_.insert(record.id);
            for (const auto& dead : changes.certificates)
                push_certificates_.insert(dead.node);
            push_items_.insert(changes.items.begin(), changes.items.end());
            push_soon();
        }
    }
    // The host last: it may call us back, or stop us.
    for (const MemberRecord& seen : changes.records_of_self)
        check_identity(seen);
    for (const DeathCertificate& certificate : changes.certificates) {
        if (started_) host_.member_removed(certificate);
    }
    for (const MemberRecord& record : changes.records) {
        if (started_) host_.member_changed(record);
    }
    for (const std::string& key : changes.items) {
        if (started_) host_.item_changed(key);
    }
    run(effects);
}

void Gossip::watch(const MemberRecord& record, SwimCore::Effects& effects) {
    if (record.id == own_.id) return;
    if (record.state == MemberState::left) {
        swim_->remove_member(record.id);
    } else {
        swim_->set_member(record.id, record.generation, effects);
    }
}

void Gossip::check_identity(const MemberRecord& seen) {
    const bool is_ours = seen.record_version() < own_.record_version() || compare(seen, own_) == 0;
    if (is_ours || is_conflict_reported_ || !started_) return;
    STARLING_MARK(gossip_identity_conflict);
    is_conflict_reported_ = true;
    host_.identity_conflict(seen);
}

bool Gossip::is_removed() const {
    return membership_.is_certified_dead(own_.id);
}

absl::Status Gossip::update_own(const std::function<void(MemberRecord&)>& change) {
    STARLING_CHECK(started_);
    if (is_removed()) {
        return base::make_error(absl::StatusCode::kFailedPrecondition,
                                reason_removed,
                                "this node was removed from its cluster");
    }
    MemberRecord next = own_;
    change(next);
    STARLING_CHECK(next.id == own_.id && next.record_version() == own_.record_version());
    if (auto status = validate(next); !status.ok()) return status;
    if (next == own_) return absl::OkStatus();
    ++next.version;
    own_ = std::move(next);
    own_changed();
    return absl::OkStatus();
}

absl::Status Gossip::set_payload(std::string payload) {
    return update_own([&](MemberRecord& own) { own.payload = std::move(payload); });
}

void Gossip::own_changed() {
    swim_->set_record_version(own_.version);
    membership_.merge(own_);
    push_records_.insert(own_.id);
    push_soon();
    persist_soon();
    // A copy: the host may change the record again.
    const MemberRecord own = own_;
    host_.member_changed(own);
}

absl::Status Gossip::set_item(std::string_view key, uint64_t version, std::string value) {
    STARLING_CHECK(started_);
    if (key.empty() || key.size() > item_key_bytes_max || value.size() > item_value_bytes_max) {
        return absl::InvalidArgumentError("shared item: key or value too long");
    }
    const MergeResult result = membership_.merge_item(key, {version, std::move(value)});
    if (result == MergeResult::refused_limit) {
        return base::make_error(
            absl::StatusCode::kResourceExhausted,
            base::reason::overloaded,
            fmt::format("the cluster's shared items are limited to {} and {} bytes",
                        items_max,
                        items_bytes_max));
    }
    if (!is_change(result)) return absl::OkStatus();
    push_items_.emplace(key);
    push_soon();
    persist_soon();
    host_.item_changed(std::string(key));
    return absl::OkStatus();
}

absl::Status Gossip::certify_death(base::NodeId node, uint64_t now_ms) {
    STARLING_CHECK(started_);
    if (node == own_.id) {
        return absl::FailedPreconditionError("a node cannot declare itself dead; ask another one");
    }
    if (membership_.is_certified_dead(node)) return absl::OkStatus();
    if (membership_.find(node) == nullptr) {
        return base::make_error(absl::StatusCode::kNotFound,
                                base::reason::unknown_node,
                                fmt::format("no node {} in this cluster", base::to_string(node)));
    }
    const DeathCertificate certificate{node, own_.id, now_ms};
    if (!is_change(membership_.merge(certificate))) {
        return base::make_error(absl::StatusCode::kResourceExhausted,
                                base::reason::overloaded,
                                "too many nodes were removed from this cluster");
    }
    push_certificates_.insert(node);
    push_soon();
    StateChanges changes;
    changes.certificates.push_back(certificate);
    is_dirty_ = true;
    persist_now();
    take_in(std::move(changes), false);
    return absl::OkStatus();
}

// --- Joining ---

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

std::vector<base::NodeId> Gossip::random_others(size_t count) {
    std::vector<base::NodeId> others;
    others.reserve(membership_.members().size());
    for (const auto& [node, member] : membership_.members()) {
        if (node != own_.id && member.record.state != MemberState::left &&
            swim_->liveness(node) != Liveness::dead) {
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
    const std::vector<base::NodeId> chosen = random_others(1);
    if (!chosen.empty()) {
        start_exchange(membership_.find(chosen.front())->peer_address, chosen.front());
        return;
    }
    // Alone, or cut off, or all have moved.
    if (!options_.seeds.empty()) {
        const env::Address& seed = options_.seeds[draw_.below(options_.seeds.size())];
        if (seed != own_.peer_address) start_exchange(seed, base::NodeId());
    }
}

// --- Timers ---

void Gossip::arm_swim() {
    swim_timer_.arm(swim_->next_deadline(), [this] {
        SwimCore::Effects effects = std::move(effects_);
        swim_->tick(loop_.now(), effects);
        run(effects);
        effects_ = std::move(effects);
    });
}

void Gossip::arm_exchange() {
    // Between 3/4 and 5/4 of the interval, so that nodes that started together do not stay in step.
    const auto interval = static_cast<uint64_t>(options_.exchange_interval.count());
    const auto delay = interval * 3 / 4 + draw_.below(interval / 2 + 1);
    exchange_timer_.arm(loop_.now() + base::Duration(static_cast<base::Duration::rep>(delay)),
                        [this] { exchange_now(); });
}

void Gossip::arm_join() {
    const auto deadline = join_.next_deadline();
    if (!deadline || !started_) return;
    join_timer_.arm(*deadline, [this] {
        JoinCore::Effects effects;
        join_.tick(own_, membership_, loop_.now(), effects);
        run(std::move(effects));
    });
}

void Gossip::persist_soon() {
    is_dirty_ = true;
    if (persist_timer_.is_armed()) return;
    persist_timer_.arm(loop_.now() + options_.persist_interval, [this] { persist_now(); });
}

void Gossip::persist_now() {
    persist_timer_.cancel();
    // The host is replacing our state by the new cluster's, and must not find the old one written
    // over it.
    if (join_.state() == JoinCore::State::adopting) {
        STARLING_MARK(gossip_persist_put_off_by_adoption);
        return;
    }
    is_dirty_ = false;
    host_.persist(membership_.encode_state());
}

// --- Looking ---

const ClusterIdentity& Gossip::cluster() const {
    return cluster_;
}

const MemberRecord& Gossip::own() const {
    return own_;
}

const Membership& Gossip::membership() const {
    return membership_;
}

std::vector<MemberRecord> Gossip::members() const {
    std::vector<MemberRecord> records;
    records.reserve(membership_.members().size());
    for (const auto& [node, member] : membership_.members())
        records.push_back(member.record);
    return records;
}

const MemberRecord* Gossip::find(base::NodeId node) const {
    return membership_.find(node);
}

const SharedItem* Gossip::find_item(std::string_view key) const {
    return membership_.find_item(key);
}

Liveness Gossip::liveness(base::NodeId node) const {
    if (node == own_.id) return Liveness::alive;
    return swim_ ? swim_->liveness(node) : Liveness::dead;
}

bool Gossip::is_certified_dead(base::NodeId node) const {
    return membership_.is_certified_dead(node);
}

GossipStats Gossip::stats() const {
    GossipStats stats = stats_;
    if (swim_) {
        stats.refutations = swim_->refutations();
        stats.awareness = swim_->awareness();
    }
    return stats;
}

}  // namespace starling::gossip
