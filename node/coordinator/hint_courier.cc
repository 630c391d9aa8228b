#include "node/coordinator/hint_courier.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "node/replica/wire.h"

namespace starling::node {

HintCourier::HintCourier(const CoordinatorContext& context,
                         env::Workers& workers,
                         base::Duration interval)
    : context_(context), workers_(workers), interval_(interval) {}

void HintCourier::start() {
    arm_timer();
}

void HintCourier::arm_timer() {
    timer_ = context_.loop.schedule_after(interval_, [this] {
        run_round();
        arm_timer();
    });
}

void HintCourier::kick() {
    if (!stopped_) {
        run_round();
    }
}

void HintCourier::stop() {
    stopped_ = true;
    context_.loop.cancel(timer_);
}

void HintCourier::run_round() {
    // What was not answered is sent again.
    std::vector<uint64_t> lost;
    for (const auto& [operation, delivery] : deliveries_) {
        if (context_.loop.now() - delivery.sent > 4 * interval_) {
            lost.push_back(operation);
        }
    }
    for (const uint64_t operation : lost) {
        STARLING_MARK(hint_delivery_lost);
        end(operation, /*delivered=*/false);
    }
    const std::vector<HintStore::Owner> owners = context_.hints.owners();
    std::erase_if(last_sent_, [&](const auto& entry) {
        return !std::binary_search(owners.begin(), owners.end(), entry.first);
    });
    for (const HintStore::Owner& owner : owners) {
        deliver_next(owner);
    }
}

std::vector<HintKey> HintCourier::in_turn(const HintStore::Owner& owner) const {
    // A window of these may be on their way.
    constexpr size_t wanted = 2 * window;
    const auto last = last_sent_.find(owner);
    if (last == last_sent_.end()) {
        return context_.hints.next(owner, nullptr, wanted);
    }
    std::vector<HintKey> hints = context_.hints.next(owner, &last->second, wanted);
    // Round to the first again, up to where it began.
    for (HintKey& hint : context_.hints.next(owner, nullptr, wanted - hints.size())) {
        if (hint > last->second) {
            break;
        }
        hints.push_back(std::move(hint));
    }
    return hints;
}

void HintCourier::deliver_next(const HintStore::Owner& owner) {
    const base::NodeId holder = context_.view->holder(owner.group.partition, owner.seat);
    if (holder.is_none() || !context_.view->is_alive(holder) || open_[owner] >= window) {
        return;
    }
    for (const HintKey& hint : in_turn(owner)) {
        if (STARLING_PLANTED(hint_dropped_when_seen_alive)) {
            context_.hints.remove(hint);
            continue;
        }
        if (open_[owner] >= window) {
            return;
        }
        if (!on_their_way_.contains(hint)) {
            last_sent_[owner] = hint;
            deliver(hint, holder);
        }
    }
}

void HintCourier::load_hint(const HintKey& hint, absl::AnyInvocable<void(Loaded)> done) {
    storage::Engine& engine = context_.store.engine();
    Loaded stored = engine.get_from_memory(storage_keys::hint(hint));
    if (stored.ok()) {
        done(std::move(stored));
        return;
    }
    STARLING_MARK(hint_read_from_disk);
    workers_.submit(
        [this, &engine, key = storage_keys::hint(hint), done = std::move(done)]() mutable {
            Loaded loaded = engine.get(key);
            context_.loop.post(
                [this, loaded = std::move(loaded), done = std::move(done)]() mutable {
                    if (!stopped_) {
                        context_.store.note_damage(loaded.status());
                        done(std::move(loaded));
                    }
                });
        });
}

void HintCourier::deliver(const HintKey& hint, base::NodeId holder) {
    on_their_way_.insert(hint);
    ++open_[{hint.group, hint.seat}];
    load_hint(hint, [this, hint, holder](const Loaded& loaded) {
        const std::optional<std::string> stored = loaded.value_or(std::nullopt);
        if (loaded.ok() && !stored.has_value() && context_.hints.was_taken_up(hint)) {
            STARLING_MARK(hint_is_not_there);
            // It was delivered while those that could not be read at the start were taken up.
            context_.hints.remove(hint);
        }
        const bool is_reference = stored.has_value() && stored->empty();
        if (is_reference) {
            STARLING_MARK(hint_reference_delivered);
            context_.store.read(
                hint.group, hint.key, [this, hint, holder](absl::StatusOr<Record> record) {
                    if (stopped_) {
                        return;
                    }
                    if (record.ok() && *record == Record{}) {
                        STARLING_MARK(hint_refers_to_nothing);
                        // What it refers to is gone from here, with the seat.
                        context_.hints.remove(hint);
                    }
                    deliver_record(hint,
                                   holder,
                                   std::move(record).value_or(Record{}),
                                   /*is_whole_write=*/false);
                });
            return;
        }
        absl::StatusOr<Record> record = decode_record(stored.value_or(""));
        deliver_record(hint, holder, std::move(record).value_or(Record{}), /*is_whole_write=*/true);
    });
}

void HintCourier::deliver_record(const HintKey& hint,
                                 base::NodeId holder,
                                 Record record,
                                 bool is_whole_write) {
    const uint64_t operation = context_.random.next_id();
    deliveries_[operation] = {.hint = hint, .to = holder, .sent = context_.loop.now()};
    if (record == Record{}) {
        STARLING_MARK(hint_unreadable_now);
        return;  // It cannot be read now; the next rounds try again.
    }
    const std::optional<Dot> dot = is_whole_write ? std::optional(hint.dot) : std::nullopt;
    if (STARLING_PLANTED(hint_deleted_before_durable)) {
        context_.hints.remove(hint);
    }
    if (holder == context_.host.self()) {
        STARLING_MARK(hint_for_a_seat_that_is_own_now);
        context_.replica.write(
            hint.group,
            hint.key,
            std::move(record),
            {.dot = dot, .is_hint = true},
            [this, operation, seat = hint.seat](const absl::StatusOr<Replica::Written>& written) {
                end(operation, written.ok() && written->seats.contains(seat));
            });
        return;
    }
    peer::ReplicaMessage message;
    message.set_partition(hint.group.partition.raw());
    message.set_replicas(hint.group.replicas);
    message.set_operation(operation);
    message.mutable_write()->set_key(hint.key);
    message.mutable_write()->set_record(wire::encode(record));
    if (dot.has_value()) {
        wire::set_dot(*message.mutable_write()->mutable_dot(), *dot);
    }
    message.mutable_write()->set_is_hint(true);
    context_.host.send(holder, std::move(message));
}

bool HintCourier::on_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    const auto found = deliveries_.find(message.operation());
    if (found == deliveries_.end() || !message.has_write_reply() || found->second.to != from) {
        return false;
    }
    const peer::WriteReply& reply = message.write_reply();
    const bool has_it =
        !reply.has_refusal() && SeatSet::from_bits(reply.seats()).contains(found->second.hint.seat);
    const HintStore::Owner owner{.group = found->second.hint.group,
                                 .seat = found->second.hint.seat};
    if (!has_it) {
        STARLING_MARK(hint_refused_by_holder);
    }
    // One that cannot be removed would be the next again, at once.
    if (end(message.operation(), has_it)) {
        deliver_next(owner);
    }
    return true;
}

bool HintCourier::end(uint64_t operation, bool delivered) {
    const auto found = deliveries_.find(operation);
    if (found == deliveries_.end()) {
        return false;
    }
    const HintKey hint = std::move(found->second.hint);
    deliveries_.erase(found);
    on_their_way_.erase(hint);
    const auto open = open_.find({hint.group, hint.seat});
    if (--open->second == 0) {
        open_.erase(open);
    }
    return delivered && context_.hints.remove(hint);
}

}  // namespace starling::node
