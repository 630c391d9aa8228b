#include "node/coordinator/hint_courier.h"

#include <algorithm>
#include <utility>
#include <vector>

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
    const std::vector<HintStore::Owner> owners = context_.hints.owners();
    std::erase_if(seats_, [&](const auto& entry) {
        return entry.second.under_way == 0 &&
               !std::binary_search(owners.begin(), owners.end(), entry.first);
    });
    for (auto& [owner, seat] : seats_) {
        seat.held_back = 0;
        seat.first_of_round.reset();
        seat.has_wrapped = false;
    }
    give_up_unanswered();
    absl::btree_set<base::NodeId> wanted;
    for (const HintStore::Owner& owner : owners) {
        const base::NodeId to = holder(owner);
        wanted.insert(to);
        if (!to.is_none() && context_.view->is_alive(to)) {
            destinations_[to].waiting.insert(owner);
        }
    }
    for (auto& [node, destination] : destinations_) {
        destination.has_no_room = false;
        advance(node);
    }
    // How much one takes is remembered as long as there is more for it.
    std::erase_if(destinations_, [&](const auto& entry) {
        return entry.second.under_way == 0 && !wanted.contains(entry.first);
    });
}

// Where it took long to notice, their seats wait for the next round with all that they have: one
// hint that is never answered, and leaves no room for others, would take every turn.
void HintCourier::give_up_unanswered() {
    std::vector<uint64_t> lost;
    for (const auto& [operation, delivery] : deliveries_) {
        const base::Duration waited = context_.loop.now() - delivery.sent;
        if (waited > patience(destinations_.at(delivery.to))) lost.push_back(operation);
    }
    for (const uint64_t operation : lost) {
        STARLING_MARK(hint_delivery_lost);
        const Delivery& delivery = deliveries_.at(operation);
        if (context_.loop.now() - delivery.sent > patience_max * interval_) {
            const HintKey& hint = delivery.hint;
            seats_.at({.group = hint.group, .seat = hint.seat}).held_back = window;
        }
        end(operation, Outcome::lost);
    }
}

base::Duration HintCourier::patience(const Destination& destination) const {
    return std::clamp<base::Duration>(
        8 * destination.answers_within, interval_, patience_max * interval_);
}

base::NodeId HintCourier::holder(const HintStore::Owner& owner) const {
    return context_.view->holder(owner.group.partition, owner.seat);
}

void HintCourier::advance(base::NodeId to) {
    Destination& destination = destinations_.at(to);
    // What ends at once, inside the loop below, changes what that finds next.
    if (stopped_ || destination.is_advancing) {
        return;
    }
    destination.is_advancing = true;
    if (!context_.view->is_alive(to)) {
        destination.waiting.clear();
        for (const Parcel& parcel : std::exchange(destination.loaded, {})) {
            STARLING_MARK(hint_loaded_for_a_node_that_is_gone);
            leave(parcel.hint, to, /*brings_next=*/false);
        }
    }
    while (!destination.has_no_room) {
        if (!destination.loaded.empty()) {
            if (!destination.fits(destination.loaded.front().message.ByteSizeLong())) {
                break;
            }
            Parcel parcel = std::move(destination.loaded.front());
            destination.loaded.pop_front();
            send(to, std::move(parcel));
        } else if (!destination.waiting.empty() && destination.may_load()) {
            load_next(to, destination);
        } else {
            break;
        }
    }
    destination.is_advancing = false;
}

void HintCourier::load_next(base::NodeId to, Destination& destination) {
    auto turn = destination.last_turn.has_value()
                    ? destination.waiting.upper_bound(*destination.last_turn)
                    : destination.waiting.begin();
    if (turn == destination.waiting.end()) {
        turn = destination.waiting.begin();
    }
    const HintStore::Owner owner = *turn;
    destination.last_turn = owner;
    Seat& seat = seats_[owner];
    std::optional<HintKey> hint;
    // The seat may have moved since.
    if (holder(owner) == to && seat.under_way + seat.held_back < window) {
        hint = next_hint(owner, seat);
    }
    if (!hint.has_value()) {
        destination.waiting.erase(turn);
        return;
    }
    seat.last_sent = hint;
    if (!seat.first_of_round.has_value()) {
        seat.first_of_round = hint;
    }
    if (STARLING_PLANTED(hint_dropped_when_seen_alive)) {
        context_.hints.remove(*hint);
        ++seat.held_back;
        return;
    }
    ++seat.under_way;
    ++destination.under_way;
    ++destination.loading;
    on_their_way_.insert(*hint);
    load_record(*hint, to);
}

std::optional<HintKey> HintCourier::next_hint(const HintStore::Owner& owner, Seat& seat) const {
    std::optional<HintKey> after = seat.last_sent;
    bool is_from_first = !after.has_value();
    // Passes over no more than are on their way.
    while (true) {
        std::vector<HintKey> found =
            context_.hints.next(owner, after.has_value() ? &*after : nullptr, 1);
        if (found.empty()) {
            if (is_from_first || seat.has_wrapped) {
                return std::nullopt;
            }
            is_from_first = true;
            seat.has_wrapped = seat.first_of_round.has_value();
            after.reset();
            continue;
        }
        HintKey& hint = found.front();
        if (seat.has_wrapped && hint >= *seat.first_of_round) {
            return std::nullopt;
        }
        if (!on_their_way_.contains(hint)) {
            return std::move(hint);
        }
        after = std::move(hint);
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

void HintCourier::load_record(const HintKey& hint, base::NodeId to) {
    load_hint(hint, [this, hint, to](const Loaded& loaded) {
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
                hint.group, hint.key, [this, hint, to](absl::StatusOr<Record> record) {
                    if (stopped_) {
                        return;
                    }
                    if (record.ok() && *record == Record{}) {
                        STARLING_MARK(hint_refers_to_nothing);
                        // What it refers to is gone from here, with the seat.
                        context_.hints.remove_reference(hint);
                    }
                    on_loaded(
                        hint, to, std::move(record).value_or(Record{}), /*is_whole_write=*/false);
                });
            return;
        }
        absl::StatusOr<Record> record = decode_record(stored.value_or(""));
        on_loaded(hint, to, std::move(record).value_or(Record{}), /*is_whole_write=*/true);
    });
}

void HintCourier::on_loaded(const HintKey& hint,
                            base::NodeId to,
                            Record record,
                            bool is_whole_write) {
    Destination& destination = destinations_.at(to);
    --destination.loading;
    const std::optional<Dot> dot = is_whole_write ? std::optional(hint.dot) : std::nullopt;
    if (record == Record{}) {
        STARLING_MARK(hint_unreadable_now);
        // The next rounds try again.
        leave(hint, to, /*brings_next=*/false);
    } else if (to == context_.host.self()) {
        STARLING_MARK(hint_for_a_seat_that_is_own_now);
        deliver_here(hint, std::move(record), dot);
    } else {
        peer::ReplicaMessage message;
        message.set_partition(hint.group.partition.raw());
        message.set_replicas(hint.group.replicas);
        message.set_operation(context_.random.next_id());
        message.mutable_write()->set_key(hint.key);
        message.mutable_write()->set_record(wire::encode(record));
        if (dot.has_value()) {
            wire::set_dot(*message.mutable_write()->mutable_dot(), *dot);
        }
        message.mutable_write()->set_is_hint(true);
        destination.loaded.push_back({.hint = hint, .message = std::move(message)});
    }
    advance(to);
}

void HintCourier::deliver_here(const HintKey& hint, Record record, std::optional<Dot> dot) {
    const uint64_t operation = context_.random.next_id();
    note_sent({.hint = hint, .to = context_.host.self(), .is_whole_write = dot.has_value()},
              operation);
    context_.replica.write(
        hint.group,
        hint.key,
        std::move(record),
        {.dot = dot, .is_hint = true},
        [this, operation, seat = hint.seat](const absl::StatusOr<Replica::Written>& written) {
            const bool has_it = written.ok() && written->seats.contains(seat);
            end(operation, has_it ? Outcome::taken : Outcome::refused);
        });
}

void HintCourier::send(base::NodeId to, Parcel parcel) {
    const uint64_t operation = parcel.message.operation();
    note_sent({.hint = parcel.hint,
               .to = to,
               .bytes = parcel.message.ByteSizeLong(),
               .is_whole_write = parcel.message.write().has_dot()},
              operation);
    if (!context_.host.send(to, std::move(parcel.message))) {
        STARLING_MARK(hint_finds_no_room_on_the_way_out);
        end(operation, Outcome::no_room);
    }
}

void HintCourier::note_sent(Delivery delivery, uint64_t operation) {
    delivery.sent = context_.loop.now();
    delivery.number = ++last_number_;
    destinations_.at(delivery.to).bytes += delivery.bytes;
    if (STARLING_PLANTED(hint_deleted_before_durable)) {
        context_.hints.remove(delivery.hint);
    }
    deliveries_[operation] = std::move(delivery);
}

bool HintCourier::on_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    const auto found = deliveries_.find(message.operation());
    if (found == deliveries_.end() || !message.has_write_reply() || found->second.to != from) {
        return false;
    }
    const peer::WriteReply& reply = message.write_reply();
    Outcome outcome = Outcome::refused;
    if (reply.has_refusal()) {
        if (absl::IsResourceExhausted(wire::get_refusal(reply.refusal()))) {
            STARLING_MARK(hint_holder_has_no_room);
            outcome = Outcome::no_room;
        }
    } else if (SeatSet::from_bits(reply.seats()).contains(found->second.hint.seat)) {
        outcome = Outcome::taken;
    }
    if (outcome != Outcome::taken) {
        STARLING_MARK(hint_refused_by_holder);
    }
    end(message.operation(), outcome);
    return true;
}

void HintCourier::end(uint64_t operation, Outcome outcome) {
    const auto found = deliveries_.find(operation);
    if (found == deliveries_.end()) {
        return;
    }
    const Delivery delivery = std::move(found->second);
    deliveries_.erase(found);
    Destination& destination = destinations_.at(delivery.to);
    destination.bytes -= delivery.bytes;
    destination.answers_within = std::max(
        context_.loop.now() - delivery.sent,
        outcome == Outcome::lost ? destination.answers_within : destination.answers_within / 2);
    adapt(destination, delivery.number, outcome);
    const bool is_gone = outcome == Outcome::taken && remove(delivery);
    // One that cannot be removed would be the next again, at once. And what goes to this node
    // itself may end at once: all of its hints would be one turn of the loop.
    const bool brings_next = is_gone && delivery.to != context_.host.self();
    // That is said of the node, and the others of the seat may have their turn.
    leave(delivery.hint, delivery.to, brings_next || outcome == Outcome::no_room);
    advance(delivery.to);
}

// A whole write that took the place of a reference meanwhile is still to be delivered.
bool HintCourier::remove(const Delivery& delivery) {
    return delivery.is_whole_write ? context_.hints.remove(delivery.hint)
                                   : context_.hints.remove_reference(delivery.hint);
}

void HintCourier::adapt(Destination& destination, uint64_t number, Outcome outcome) {
    if (outcome == Outcome::refused) {
        return;
    }
    destination.has_no_room = outcome != Outcome::taken;
    // One that was on its way when the window was halved says nothing of the new one.
    if (number <= destination.halved_at) {
        return;
    }
    if (outcome != Outcome::taken) {
        destination.window = std::max<size_t>(1, destination.window / 2);
        destination.taken = 0;
        destination.halved_at = last_number_;
    } else if (++destination.taken >= destination.window && destination.window < node_window) {
        STARLING_MARK(hint_window_grows_again);
        ++destination.window;
        destination.taken = 0;
    }
}

void HintCourier::leave(const HintKey& hint, base::NodeId to, bool brings_next) {
    const HintStore::Owner owner{.group = hint.group, .seat = hint.seat};
    on_their_way_.erase(hint);
    Seat& seat = seats_.at(owner);
    Destination& destination = destinations_.at(to);
    --seat.under_way;
    --destination.under_way;
    if (brings_next) {
        destination.waiting.insert(owner);
    } else {
        ++seat.held_back;
    }
}

}  // namespace starling::node
