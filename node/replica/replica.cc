#include "node/replica/replica.h"

#include <utility>

#include "base/error.h"
#include "base/planted.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

peer::ReplicaMessage answer_to(const peer::ReplicaMessage& request) {
    peer::ReplicaMessage answer;
    answer.set_partition(request.partition());
    answer.set_replicas(request.replicas());
    answer.set_operation(request.operation());
    return answer;
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
        if (!write.record.context.covers(*write.dot)) {
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

Replica::Replica(ReplicaStore& store, HintStore& hints, GoneHorizon& horizon, ReplicaHost& host)
    : store_(store), hints_(hints), horizon_(horizon), host_(host) {}

void Replica::on_message(base::NodeId from, const peer::ReplicaMessage& message) {
    switch (message.body_case()) {
        case peer::ReplicaMessage::kWrite:
            return on_write(from, message);
        case peer::ReplicaMessage::kRead:
            return on_read(from, message);
        case peer::ReplicaMessage::kHint:
            return on_hint(from, message);
        default:
            return;
    }
}

void Replica::write(
    GroupId group, std::string key, Record record, std::optional<Dot> dot, WriteDone done) {
    if (!host_.stores(group)) {
        done(no_part(group.partition));
        return;
    }
    store_.update(
        group,
        std::move(key),
        [this, group, dot, incoming = std::move(record)](Record& local,
                                                         Frontier& frontier) mutable {
            // Asked again: the group may have been given away while the disk was read.
            if (!host_.stores(group)) {
                return no_part(group.partition);
            }
            if (dot.has_value() && frontier.contains(*dot)) {
                return absl::OkStatus();
            }
            merge(local, std::move(incoming), frontier);
            forget_old_requests(group, local);
            return absl::OkStatus();
        },
        nullptr,
        [this, group, done = std::move(done)](absl::Status status) mutable {
            if (status.ok()) {
                done(host_.held_seats(group.partition));
            } else {
                done(std::move(status));
            }
        });
}

void Replica::on_write(base::NodeId from, const peer::ReplicaMessage& message) {
    const GroupId group = group_of(message);
    peer::ReplicaMessage answer = answer_to(message);
    absl::StatusOr<IncomingWrite> incoming = parse(message.write());
    if (!incoming.ok()) {
        wire::set_refusal(*answer.mutable_write_reply()->mutable_refusal(), incoming.status());
        host_.send(from, std::move(answer));
        return;
    }
    write(group,
          std::move(incoming->key),
          std::move(incoming->record),
          incoming->dot,
          [this, from, group, minted = message.write().minted(), answer = std::move(answer)](
              absl::StatusOr<SeatSet> seats) mutable {
              peer::WriteReply& reply = *answer.mutable_write_reply();
              if (seats.ok()) {
                  note_minted(group, from, minted);
                  reply.set_seats(seats->bits());
                  *reply.mutable_minted() = minted_report(group);
              } else {
                  wire::set_refusal(*reply.mutable_refusal(), seats.status());
              }
              host_.send(from, std::move(answer));
          });
}

void Replica::read(GroupId group, const std::string& key, ReadDone done) {
    if (host_.held_seats(group.partition).below(group.replicas).empty()) {
        done(no_part(group.partition));
        return;
    }
    store_.read(
        group, key, [this, group, done = std::move(done)](absl::StatusOr<Record> record) mutable {
            // Asked again: the seat may have gone while the disk was read.
            const SeatSet seats = host_.held_seats(group.partition);
            if (!record.ok()) {
                done(std::move(record).status());
            } else if (seats.below(group.replicas).empty()) {
                done(no_part(group.partition));
            } else {
                done(Answer{.record = *std::move(record), .seats = seats});
            }
        });
}

void Replica::on_read(base::NodeId from, const peer::ReplicaMessage& message) {
    const std::string key = message.read().key();
    read(group_of(message),
         key,
         [this, from, key, digest_asked = message.read().digest(), answer = answer_to(message)](
             absl::StatusOr<Answer> found) mutable {
             peer::ReadReply& reply = *answer.mutable_read_reply();
             if (!found.ok()) {
                 wire::set_refusal(*reply.mutable_refusal(), found.status());
             } else {
                 reply.set_seats(found->seats.bits());
                 const bool absent = found->record == Record{};
                 if (digest_asked != 0 && !absent &&
                     record_digest(key, found->record) == digest_asked) {
                     reply.set_same(true);
                 } else if (!absent) {
                     reply.set_record(wire::encode(found->record));
                 }
             }
             host_.send(from, std::move(answer));
         });
}

void Replica::on_hint(base::NodeId from, const peer::ReplicaMessage& message) {
    peer::ReplicaMessage answer = answer_to(message);
    const peer::HintRequest& request = message.hint();
    answer.mutable_hint_reply()->set_seat(request.seat());
    absl::StatusOr<IncomingWrite> incoming = parse(request.write());
    if (incoming.ok() && (!incoming->dot.has_value() || request.seat() >= message.replicas())) {
        incoming =
            absl::InvalidArgumentError("a hint without its write's dot, or for a seat beyond N");
    }
    if (!incoming.ok()) {
        wire::set_refusal(*answer.mutable_hint_reply()->mutable_refusal(), incoming.status());
        host_.send(from, std::move(answer));
        return;
    }
    hints_.keep({.group = group_of(message),
                 .seat = base::SeatIndex(static_cast<uint8_t>(request.seat())),
                 .dot = *incoming->dot,
                 .key = incoming->key},
                request.write().record(),
                [this, from, answer = std::move(answer)](const absl::Status& status) mutable {
                    if (!status.ok()) {
                        wire::set_refusal(*answer.mutable_hint_reply()->mutable_refusal(), status);
                    }
                    host_.send(from, std::move(answer));
                });
}

peer::MintedReport Replica::minted_report(GroupId group) {
    peer::MintedReport report;
    report.set_wall_ms(host_.now_ms());
    report.set_frontier(wire::encode(store_.frontier(group).written_by(host_.self())));
    return report;
}

void Replica::note_minted(GroupId group, base::NodeId from, const peer::MintedReport& report) {
    const absl::StatusOr<Frontier> minted = wire::decode_frontier(report.frontier());
    if (minted.ok()) {
        horizon_.note(group, from, report.wall_ms(), *minted, store_.frontier(group));
    }
}

void Replica::forget_old_requests(GroupId group, Record& record) const {
    if (record.gone.empty()) {
        return;
    }
    const std::vector<base::NodeId> owners = host_.other_owners(group);
    forget_requests_before(record, horizon_.forget_before(group, owners, host_.now_ms()));
}

}  // namespace starling::node
