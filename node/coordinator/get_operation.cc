#include "node/coordinator/get_operation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "node/coordinator/conflict_policy.h"
#include "node/replica/seen_claim.h"
#include "node/replica/storage_keys.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

uint64_t digest_of(const std::string& key, const Record& record) {
    return record == Record{} ? 0 : record_digest(key, record);
}

bool contains(const std::vector<base::NodeId>& nodes, base::NodeId node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

// For a planted bug: the values of the result, which replace only what is in `seen`.
Record with_context(const Record& result, Context seen) {
    for (const Sibling& sibling : result.siblings)
        seen.add(sibling.dot);
    return {.context = std::move(seen), .siblings = result.siblings, .gone = {}};
}

}  // namespace

GetOperation::GetOperation(CoordinatorContext& context,
                           uint64_t id,
                           GroupId group,
                           base::Duration deadline,
                           GetPlan plan,
                           KvService::GetCallback done)
    : Operation(context, id, group, deadline),
      plan_(std::move(plan)),
      done_(std::move(done)),
      core_({.replicas = group.replicas,
             .answers_wanted = plan_.answers_wanted,
             .seen = plan_.session.value_or(Context{})}) {
    if (plan_.session.has_value() && !plan_.session->empty()) {
        plan_.session->encode(seen_bytes_);
    }
}

void GetOperation::start() {
    arm_timer();
    holders_ = context_.view->holders_of(group_.partition, group_.replicas);
    if (holders_.empty()) {
        STARLING_MARK(get_no_owner_known);
        fail(base::make_error(absl::StatusCode::kUnavailable,
                              base::reason::no_owner,
                              "no node is known to hold a seat of the key's partition"));
        return;
    }
    context_.view->sort_for_asking(holders_);
    const auto others = std::count_if(holders_.begin(), holders_.end(), [&](base::NodeId node) {
        return node != self() && context_.view->is_alive(node);
    });
    if (others == 0) {
        core_.wait_no_longer();
    }
    // First, so that its digest, when the record is in memory, spares the others from sending
    // theirs.
    if (contains(holders_, self())) {
        read_here();
    }
    for (const base::NodeId node : holders_) {
        if (node != self() && !is_finished()) {
            ask(node);
        }
    }
}

void GetOperation::read_here() {
    if (std::exchange(is_reading_here_, true)) return;
    outcomes_.asked(self());
    const SeenClaim claim(context_.store, group_, plan_.session.value_or(Context{}));
    context_.replica.read(
        group_,
        plan_.group_key,
        [op = shared_as<GetOperation>(), claim](absl::StatusOr<Replica::Answer> local) {
            op->is_reading_here_ = false;
            if (op->is_finished()) {
                return;
            }
            if (!local.ok()) {
                STARLING_MARK(get_own_read_refused);
                op->outcomes_.set(op->self(),
                                  ReplicaState::refused,
                                  {},
                                  op->elapsed(),
                                  std::string(local.status().message()));
                op->after_answer();
                return;
            }
            const uint64_t digest = digest_of(op->plan_.group_key, local->record);
            // The first stays: answers may still come that say "the same" of it.
            if (!contains(op->answered_, op->self())) {
                op->note_local(local->record, digest);
            }
            op->outcomes_.set(op->self(), ReplicaState::answered, local->seats, op->elapsed());
            op->core_.answered(op->self(), local->seats, local->record, digest, local->is_behind);
            op->core_.vouched(op->self(), claim.holds(op->context_.store));
            op->after_answer();
        });
}

void GetOperation::note_local(const Record& record, uint64_t digest) {
    answered_.push_back(self());
    local_digest_ = digest;
    for (const Sibling& sibling : record.siblings) {
        local_bare_.push_back({.dot = sibling.dot,
                               .request = sibling.request,
                               .time = sibling.time,
                               .expires_ms = sibling.expires_ms,
                               .is_tombstone = sibling.is_tombstone,
                               .value = {},
                               .hidden_by = sibling.hidden_by});
    }
}

void GetOperation::ask(base::NodeId node) {
    outcomes_.asked(node);
    peer::ReplicaMessage message = new_message();
    message.mutable_read()->set_key(plan_.group_key);
    message.mutable_read()->set_digest(local_digest_);
    message.mutable_read()->set_seen(seen_bytes_);
    send(node, std::move(message));
}

void GetOperation::on_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    if (message.has_read_reply()) {
        on_read_reply(from, message.read_reply());
    } else if (message.has_write_reply()) {
        on_repair_reply(from, message);
    }
}

void GetOperation::on_read_reply(base::NodeId from, const peer::ReadReply& reply) {
    const bool is_first = !contains(answered_, from);
    if (!is_first && is_satisfied()) {
        STARLING_MARK(get_answered_twice);
        return;
    }
    if (reply.has_refusal()) {
        STARLING_MARK(get_read_refused);
        outcomes_.set(from, ReplicaState::refused, {}, elapsed(), reply.refusal().message());
        after_answer();
        return;
    }
    const auto seats = SeatSet::from_bits(reply.seats());
    if (reply.same()) {
        base::Reader context(reply.context());
        Record record{.context = Context::decode(context), .siblings = local_bare_, .gone = {}};
        if (local_digest_ == 0 || !context.finished()) {
            STARLING_MARK(get_same_as_nothing);
            return;
        }
        core_.answered(from, seats, record, local_digest_, reply.is_behind());
    } else {
        Record record;
        if (!reply.record().empty()) {
            absl::StatusOr<Record> decoded = decode_record(reply.record());
            if (!decoded.ok()) {
                STARLING_MARK(get_record_undecodable);
                outcomes_.set(
                    from, ReplicaState::refused, {}, elapsed(), "its record does not decode");
                return;
            }
            record = *std::move(decoded);
        }
        core_.answered(from, seats, record, digest_of(plan_.group_key, record), reply.is_behind());
    }
    if (is_first) {
        answered_.push_back(from);
    }
    core_.vouched(from, reply.reflects_seen());
    outcomes_.set(from, ReplicaState::answered, seats, elapsed());
    after_answer();
}

void GetOperation::on_repair_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    if (message.write_reply().has_refusal()) {
        STARLING_MARK(get_repair_refused);
        return;
    }
    const auto repair = std::find_if(repairs_.begin(), repairs_.end(), [&](const Repair& sent) {
        return sent.node == from && message.operation() == (id() | sent.attempt);
    });
    // One that answers an earlier repair says nothing of the result as it is.
    if (repair == repairs_.end()) return;
    if (!message.write_reply().has_superseding()) {
        core_.repaired(from, repair->digest);
    } else {
        absl::StatusOr<Record> record = decode_record(message.write_reply().superseding());
        if (!record.ok()) {
            STARLING_MARK(get_superseding_undecodable);
            return;
        }
        on_superseded(from, SeatSet::from_bits(message.write_reply().seats()), *record);
    }
    after_answer();
}

// What came together in the result a replica knows to be superseded: by a write that all owners
// have seen since the first answer was given, and that the last one did not speak of any more.
void GetOperation::on_superseded(base::NodeId from, SeatSet seats, const Record& record) {
    STARLING_MARK(get_result_was_superseded);
    core_.answered(from, seats, record, digest_of(plan_.group_key, record));
}

bool GetOperation::is_satisfied() const {
    return seen_bytes_.empty() || STARLING_PLANTED(session_token_ignored) ||
           core_.reflects_seen(result_digest());
}

bool GetOperation::may_another_answer_come() const {
    return std::any_of(holders_.begin(), holders_.end(), [&](base::NodeId node) {
        return context_.view->is_alive(node) && outcomes_.is_late(node);
    });
}

uint64_t GetOperation::result_digest() const {
    return digest_of(plan_.group_key, core_.result());
}

void GetOperation::after_answer() {
    // Who answered first may have given up its data since, and counts again (damage_healer.h). Of
    // fewer answers than a majority no other read expects anything.
    if (time_left() <= base::Duration::zero() && 2 * plan_.answers_wanted > group_.replicas) {
        STARLING_MARK(get_answered_after_deadline);
        return;
    }
    if (core_.waits_for_better() && !may_another_answer_come()) {
        STARLING_MARK(get_all_that_live_are_behind);
        core_.no_better_comes();
    }
    if (!core_.is_reached()) {
        return;
    }
    repair_stale();
    if (is_finished()) return;
    const uint64_t digest = result_digest();
    if (done_ != nullptr) {
        if (core_.is_settled(digest) && is_satisfied()) {
            answer();
        } else {
            STARLING_MARK(get_waits_for_repairs);
        }
    }
    if (done_ == nullptr && core_.all_answered() && core_.stale(digest).empty()) {
        finish();
    }
}

void GetOperation::repair_stale() {
    const uint64_t digest = result_digest();
    for (const base::NodeId node : core_.stale(digest)) {
        const bool sent = std::any_of(repairs_.begin(), repairs_.end(), [&](const Repair& repair) {
            return repair.node == node && repair.digest == digest;
        });
        if (!sent) {
            repair(node, digest);
        }
        // The own replica may have answered already, and what is left was sent the new result.
        if (is_finished() || result_digest() != digest) return;
    }
}

// For a planted bug: what this node has itself, which the others may have superseded.
Record GetOperation::own_record() const {
    const auto stored =
        context_.store.engine().get_from_memory(storage_keys::record(group_, plan_.group_key));
    const bool is_here = stored.ok() && stored->has_value();
    return is_here ? decode_record(**stored).value_or(Record{}) : Record{};
}

void GetOperation::repair(base::NodeId node, uint64_t digest) {
    ++repairs_sent_;
    const auto attempt = static_cast<uint8_t>(repairs_sent_);
    std::erase_if(repairs_, [&](const Repair& repair) { return repair.node == node; });
    repairs_.push_back({.node = node, .digest = digest, .attempt = attempt});
    if (node == self()) {
        STARLING_MARK(get_repairs_own_replica);
        context_.replica.write(
            group_,
            plan_.group_key,
            STARLING_PLANTED(read_repair_writes_loser) ? own_record() : core_.result(),
            {.is_repair = true},
            [op = shared_as<GetOperation>(),
             digest](const absl::StatusOr<Replica::Written>& written) {
                if (op->is_finished() || !written.ok()) return;
                if (!written->superseded.empty()) return op->read_superseding(written->superseded);
                op->core_.repaired(op->self(), digest);
                op->after_answer();
            });
        return;
    }
    STARLING_MARK(get_repairs_another_replica);
    peer::ReplicaMessage message = new_message(attempt);
    message.mutable_write()->set_key(plan_.group_key);
    message.mutable_write()->set_is_repair(true);
    message.mutable_write()->set_record(STARLING_PLANTED(read_repair_writes_loser)
                                            ? wire::encode(own_record())
                                            : wire::encode(core_.result()));
    if (STARLING_PLANTED(repair_with_stale_context)) {
        message.mutable_write()->set_record(
            wire::encode(with_context(core_.result(), plan_.session.value_or(Context{}))));
    }
    send(node, std::move(message));
}

void GetOperation::read_superseding(const Context& superseded) {
    context_.replica.read(
        group_,
        plan_.group_key,
        [op = shared_as<GetOperation>(), superseded](absl::StatusOr<Replica::Answer> local) {
            if (op->is_finished() || !local.ok()) return;
            local->record.context.merge(superseded);
            op->on_superseded(op->self(), local->seats, local->record);
            op->after_answer();
        });
}

void GetOperation::answer() {
    GetResult result;
    // The only place of a read that looks at a clock: replicas are compared, and repaired, by what
    // they store.
    const uint64_t now_ms = base::to_unix_ms(context_.wall_clock.wall_now());
    for (const Sibling* sibling : shown_values(core_.result(), plan_.name_space.policy, now_ms)) {
        result.values.push_back({.value = sibling->value,
                                 .dot = sibling->dot,
                                 .time = sibling->time,
                                 .expires_ms = sibling->expires_ms});
    }
    result.context = context_.sealer.seal(
        plan_.name_space.id, plan_.request.key, Superseded::by_reading(core_.result()));
    if (plan_.session.has_value()) {
        Context seen = *plan_.session;
        seen.merge(core_.result().context);
        result.session = context_.sessions.seal(plan_.name_space.id, plan_.request.key, seen);
    }
    result.receipt.coordinator = self();
    result.receipt.partition = group_.partition;
    result.receipt.replicas_total = group_.replicas;
    result.receipt.quorum = plan_.answers_wanted;
    result.receipt.seats_answered = core_.seats_counted();
    result.receipt.nodes_answered = core_.nodes_counted();
    result.receipt.repairs_sent = repairs_sent_;
    result.receipt.elapsed = elapsed();
    if (plan_.request.options.explain) {
        for (const Repair& repair : repairs_) {
            outcomes_.set(repair.node, ReplicaState::stale, {}, elapsed(), "sent the result");
        }
        result.receipt.replicas = outcomes_.all();
    }
    reply(done_, std::move(result));
}

void GetOperation::on_view_changed() {
    for (const base::NodeId node : context_.view->holders_of(group_.partition, group_.replicas)) {
        if (!contains(holders_, node)) {
            STARLING_MARK(get_new_holder_in_view);
            holders_.push_back(node);
            if (node == self()) {
                STARLING_MARK(get_becomes_holder_itself);
                read_here();
            } else {
                ask(node);
            }
        }
    }
    // Who is dead now is waited for no longer.
    if (!is_finished()) after_answer();
}

void GetOperation::on_tick() {
    if (done_ == nullptr) {
        finish();
        return;
    }
    core_.wait_no_longer();
    // Who has answered without what the session has seen may have it by now.
    const bool ask_all = !is_satisfied();
    context_.view->sort_for_asking(holders_);
    for (const base::NodeId node : holders_) {
        if (node != self() && (ask_all || !contains(answered_, node))) {
            STARLING_MARK(get_asked_again);
            ask(node);
        }
    }
    if (contains(holders_, self()) && (ask_all || !contains(answered_, self()))) {
        read_here();
    }
    repairs_.clear();
    if (core_.is_reached()) {
        STARLING_MARK(get_repairs_sent_again);
        after_answer();
    }
}

void GetOperation::on_deadline() {
    core_.wait_no_longer();
    after_answer();
    if (done_ == nullptr) {
        finish();
        return;
    }
    if (core_.is_reached() && !is_satisfied()) {
        fail(base::make_error(
            absl::StatusCode::kUnavailable,
            base::reason::session_not_satisfied,
            fmt::format("{} of {} seats answered, and none has all that the session has seen of "
                        "the key: try again, or read without the session",
                        core_.seats_counted(),
                        group_.replicas)));
        return;
    }
    const bool repairing = core_.is_reached();
    if (repairing) {
        STARLING_MARK(get_repairs_too_late);
    }
    STARLING_MARK(get_failed_at_deadline);
    fail(base::make_error(absl::StatusCode::kUnavailable,
                          base::reason::quorum_not_reached,
                          repairing ? "the replicas differ and too few could be repaired in time"
                                    : fmt::format("{} of {} seats (on {} nodes) answered",
                                                  core_.seats_counted(),
                                                  plan_.answers_wanted,
                                                  core_.nodes_counted())));
}

void GetOperation::abandon(const absl::Status& why) {
    STARLING_MARK(get_abandoned);
    fail(why);
}

void GetOperation::fail(absl::Status status) {
    finish();
    reply(done_, std::move(status));
}

}  // namespace starling::node
