#include "gossip/gossip.h"

#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"

namespace starling::gossip {
namespace {

constexpr size_t start_exchanges = 3;

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
    if (is_ours || seen.generation <= conflict_generation_ || !started_) return;
    STARLING_MARK(gossip_identity_conflict);
    conflict_generation_ = seen.generation;
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
