#include "node/replica/replica.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "node/replica/seen_claim.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

// What a request takes beside its message: callbacks, its place in queues, the answer.
constexpr uint64_t request_overhead_bytes = 1024;

peer::ReplicaMessage answer_to(const peer::ReplicaMessage& request) {
    peer::ReplicaMessage answer;
    answer.set_partition(request.partition());
    answer.set_replicas(request.replicas());
    answer.set_operation(request.operation());
    return answer;
}

// Where the answer to `request` says why it is refused.
peer::Refusal& refusal_in(peer::ReplicaMessage& answer, const peer::ReplicaMessage& request) {
    if (request.has_write()) {
        return *answer.mutable_write_reply()->mutable_refusal();
    }
    return request.has_read() ? *answer.mutable_read_reply()->mutable_refusal()
                              : *answer.mutable_hint_reply()->mutable_refusal();
}

GroupId group_of(const peer::ReplicaMessage& message) {
    return {base::PartitionId(static_cast<uint16_t>(message.partition())),
            static_cast<uint8_t>(message.replicas())};
}

absl::Status no_part(base::PartitionId partition) {
    return base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::no_owner,
                            "this node holds no seat of partition " + base::to_string(partition));
}

absl::Status of_ended_life(const Dot& dot) {
    return absl::FailedPreconditionError(
        "the write " + to_string(dot) +
        " was not seen here before the life of the node that made it ended");
}

struct IncomingWrite {
    std::string key;
    Record record;
    std::optional<Dot> dot;
};

absl::StatusOr<IncomingWrite> parse(const peer::WriteRequest& request) {
    absl::StatusOr<Record> record = decode_record(request.record());
    if (!record.ok()) {
        return absl::InvalidArgumentError("the record of a write does not decode");
    }
    IncomingWrite write{.key = request.key(), .record = *std::move(record), .dot = std::nullopt};
    if (request.has_dot()) {
        write.dot = wire::get_dot(request.dot());
        if (write.dot->sequence == 0 || !write.record.context.covers(*write.dot)) {
            return absl::InvalidArgumentError(
                "the record of a write does not cover the write's dot");
        }
    }
    if (request.key().size() < sizeof(uint64_t)) {
        return absl::InvalidArgumentError("the key of a write names no namespace");
    }
    return write;
}

}  // namespace

Replica::Replica(ReplicaStore& store,
                 HintStore& hints,
                 const Standings& standings,
                 ReplicaHost& host,
                 ReplicaLimits limits)
    : store_(store),
      hints_(hints),
      standings_(standings),
      host_(host),
      peer_bytes_(limits.peer_bytes_max) {
    store_.count_waiting_reads_in(&peer_bytes_);
}

void Replica::on_message(base::NodeId from, const peer::ReplicaMessage& message) {
    if (!message.has_write() && !message.has_read() && !message.has_hint()) {
        return;
    }
    PeerRequest request{.from = from,
                        .bytes = request_overhead_bytes + message.ByteSizeLong(),
                        .answer = answer_to(message)};
    if (message.has_hint()) {
        request.answer.mutable_hint_reply()->set_seat(message.hint().seat());
    }
    if (!peer_bytes_.take(request.bytes)) {
        STARLING_MARK(replica_overloaded);
        wire::set_refusal(
            refusal_in(request.answer, message),
            base::make_error(absl::StatusCode::kResourceExhausted,
                             base::reason::overloaded,
                             fmt::format("{} bytes of other nodes' requests are in progress, {} "
                                         "are allowed",
                                         peer_bytes(),
                                         peer_bytes_.bytes_max())));
        host_.send(from, std::move(request.answer));
        return;
    }
    if (message.has_write()) {
        on_write(std::move(request), message);
    } else if (message.has_read()) {
        on_read(std::move(request), message);
    } else {
        on_hint(std::move(request), message);
    }
}

void Replica::answer(PeerRequest request) {
    peer_bytes_.give_back(request.bytes);
    host_.send(request.from, std::move(request.answer));
}

// R2.
absl::Status Replica::accept(GroupId group,
                             const Carrier& carrier,
                             Record& local,
                             Record incoming,
                             Frontier& frontier) const {
    const Reception reception = receive(carrier, local, incoming, standings_.frozen(), frontier);
    switch (reception.kind) {
        case Reception::Kind::seen_before:
            STARLING_MARK(replica_write_seen_before);
            return absl::OkStatus();
        case Reception::Kind::of_ended_life:
            STARLING_MARK(replica_write_of_ended_life);
            return of_ended_life(reception.dot);
        case Reception::Kind::unaccounted:
            STARLING_MARK(replica_write_unaccounted);
            return absl::FailedPreconditionError(
                "the record holds a write that was seen here and is not accounted for: it is old");
        case Reception::Kind::merge:
            break;
    }
    merge(local, std::move(incoming), frontier);
    forget_old_requests(group, local);
    return absl::OkStatus();
}

void Replica::write(
    GroupId group, std::string key, Record record, Carrier carrier, WriteDone done) {
    if (!host_.stores(group)) {
        STARLING_MARK(replica_write_without_seat);
        done(no_part(group.partition));
        return;
    }
    const base::NamespaceId name_space = split_group_key(key).name_space;
    // Said by the change, told when that is durable.
    const auto superseded = carrier.is_repair ? std::make_shared<Context>() : nullptr;
    store_.update(
        group,
        std::move(key),
        [this, group, name_space, carrier, superseded, incoming = std::move(record)](
            Record& local, Frontier& frontier) mutable {
            // Asked again: the group may have been given away while the disk was read.
            if (!host_.stores(group)) {
                STARLING_MARK(replica_seat_gone_before_write);
                return no_part(group.partition);
            }
            if (superseded != nullptr) *superseded = superseded_of(group, local, incoming);
            const bool is_news = carrier.dot.has_value() && !frontier.contains(*carrier.dot);
            absl::Status status = accept(group, carrier, local, std::move(incoming), frontier);
            if (status.ok() && is_news) {
                conflicts_.written(name_space, local);
            }
            return status;
        },
        nullptr,
        [this, group, superseded, done = std::move(done)](absl::Status status) mutable {
            if (!status.ok()) {
                done(std::move(status));
                return;
            }
            Written written{.seats = host_.held_seats(group.partition)};
            if (superseded != nullptr) written.superseded = std::move(*superseded);
            done(std::move(written));
        });
}

// What the frontier has, and neither the record nor R8 accounts for, may have been lost: that says
// nothing.
Context Replica::superseded_of(GroupId group, const Record& local, const Record& incoming) const {
    Context superseded;
    for (const Sibling& sibling : incoming.siblings) {
        const bool is_there = local.find(sibling.request) != nullptr;
        const bool is_past = local.context.covers(sibling.dot) || local.is_gone(sibling.request) ||
                             store_.stable(group).is_past(sibling.dot);
        if (is_past && !is_there) superseded.add(sibling.dot);
    }
    return superseded;
}

void Replica::on_write(PeerRequest request, const peer::ReplicaMessage& message) {
    const GroupId group = group_of(message);
    absl::StatusOr<IncomingWrite> incoming = parse(message.write());
    if (!incoming.ok()) {
        STARLING_MARK(replica_write_malformed);
        wire::set_refusal(refusal_in(request.answer, message), incoming.status());
        answer(std::move(request));
        return;
    }
    std::string key = message.write().is_repair() ? incoming->key : std::string();
    write(group,
          std::move(incoming->key),
          std::move(incoming->record),
          {.dot = incoming->dot,
           .is_hint = message.write().is_hint(),
           .is_repair = message.write().is_repair()},
          [this, group, key = std::move(key), request = std::move(request)](
              absl::StatusOr<Written> written) mutable {
              on_written(group, key, std::move(written), std::move(request));
          });
}

void Replica::on_written(GroupId group,
                         const std::string& key,
                         absl::StatusOr<Written> written,
                         PeerRequest request) {
    peer::WriteReply& reply = *request.answer.mutable_write_reply();
    if (!written.ok()) {
        wire::set_refusal(*reply.mutable_refusal(), written.status());
        return answer(std::move(request));
    }
    reply.set_seats(written->seats.bits());
    if (written->superseded.empty()) return answer(std::move(request));
    STARLING_MARK(replica_repair_superseded_here);
    read(group,
         key,
         [this, superseded = std::move(written->superseded), request = std::move(request)](
             absl::StatusOr<Answer> found) mutable {
             peer::WriteReply& filled = *request.answer.mutable_write_reply();
             if (found.ok()) {
                 found->record.context.merge(superseded);
                 filled.set_seats(found->seats.bits());
                 filled.set_superseding(wire::encode(found->record));
             } else {
                 wire::set_refusal(*filled.mutable_refusal(), found.status());
             }
             answer(std::move(request));
         });
}

void Replica::read(GroupId group, const std::string& key, ReadDone done) {
    if (host_.held_seats(group.partition).below(group.replicas).empty()) {
        STARLING_MARK(replica_read_without_seat);
        done(no_part(group.partition));
        return;
    }
    store_.read(
        group, key, [this, group, done = std::move(done)](absl::StatusOr<Record> record) mutable {
            // Asked again: the seat may have gone while the disk was read.
            SeatSet seats = host_.held_seats(group.partition);
            if (STARLING_PLANTED(count_hint_for_r) && !seats.empty()) {
                for (const HintStore::Owner& owner : hints_.owners()) {
                    if (owner.group == group) {
                        seats.add(owner.seat);
                    }
                }
            }
            if (!record.ok()) {
                done(std::move(record).status());
            } else if (seats.below(group.replicas).empty()) {
                STARLING_MARK(replica_seat_gone_before_read);
                done(no_part(group.partition));
            } else {
                done(Answer{.record = *std::move(record),
                            .seats = seats,
                            .is_behind = host_.is_behind(group)});
            }
        });
}

void Replica::on_read(PeerRequest request, const peer::ReplicaMessage& message) {
    const std::string key = message.read().key();
    const SeenClaim claim(
        store_, group_of(message), wire::decode_context(message.read().seen()).value_or(Context{}));
    read(group_of(message),
         key,
         [this, key, claim, digest_asked = message.read().digest(), request = std::move(request)](
             absl::StatusOr<Answer> found) mutable {
             peer::ReadReply& reply = *request.answer.mutable_read_reply();
             if (!found.ok()) {
                 wire::set_refusal(*reply.mutable_refusal(), found.status());
             } else {
                 reply.set_seats(found->seats.bits());
                 reply.set_reflects_seen(claim.holds(store_));
                 reply.set_is_behind(found->is_behind);
                 const bool absent = found->record == Record{};
                 if (digest_asked != 0 && !absent &&
                     record_digest(key, found->record) == digest_asked) {
                     reply.set_same(true);
                     found->record.context.encode(*reply.mutable_context());
                 } else if (!absent) {
                     reply.set_record(wire::encode(found->record));
                 }
             }
             answer(std::move(request));
         });
}

void Replica::on_hint(PeerRequest request, const peer::ReplicaMessage& message) {
    const peer::HintRequest& hint = message.hint();
    absl::StatusOr<IncomingWrite> incoming = parse(hint.write());
    if (incoming.ok() && (!incoming->dot.has_value() || hint.seat() >= message.replicas())) {
        incoming =
            absl::InvalidArgumentError("a hint without its write's dot, or for a seat beyond N");
    }
    if (!incoming.ok()) {
        STARLING_MARK(replica_hint_malformed);
        wire::set_refusal(refusal_in(request.answer, message), incoming.status());
        answer(std::move(request));
        return;
    }
    if (standings_.has_ended(incoming->dot->actor)) {
        STARLING_MARK(replica_hint_of_ended_life);
        wire::set_refusal(refusal_in(request.answer, message), of_ended_life(*incoming->dot));
        answer(std::move(request));
        return;
    }
    hints_.keep({.group = group_of(message),
                 .seat = base::SeatIndex(static_cast<uint8_t>(hint.seat())),
                 .dot = *incoming->dot,
                 .key = incoming->key},
                hint.write().record(),
                [this, request = std::move(request)](const absl::Status& status) mutable {
                    if (!status.ok()) {
                        STARLING_MARK(replica_hint_not_kept);
                        wire::set_refusal(*request.answer.mutable_hint_reply()->mutable_refusal(),
                                          status);
                    }
                    answer(std::move(request));
                });
}

void Replica::forget_old_requests(GroupId group, Record& record) const {
    if (record.gone.empty()) {
        return;
    }
    forget_requests_before(record, standings_.forget_before(group));
}

}  // namespace starling::node
