#include "node/handover/mover.h"

#include <algorithm>

#include "base/check.h"
#include "base/mark.h"
#include "node/handover/message.h"

namespace starling::node {

Mover::Mover(MoverOptions options,
             HandoverHost& host,
             Entropy& entropy,
             env::EventLoop& loop,
             env::Random& random)
    : options_(std::move(options)), host_(host), entropy_(entropy), loop_(loop), random_(random) {
    make_cores();
}

Mover::~Mover() {
    stop();
}

void Mover::make_cores() {
    for (const base::PartitionId partition : options_.partitions) {
        shells_[partition].core =
            std::make_unique<MoveCore>(MoveCore::Config{.self = options_.self,
                                                        .generation = options_.generation,
                                                        .seat_count = options_.seat_count,
                                                        .rules = options_.rules});
    }
}

void Mover::end_all() {
    lifeline_ = Lifeline();
    for (auto& [partition, shell] : shells_) {
        for (const auto& [key, timer] : shell.timers) {
            loop_.cancel(timer);
        }
        for (const auto& [job, running] : shell.running) {
            STARLING_MARK(mover_sync_ended_with_cluster);
            entropy_.cancel(running.first);
        }
    }
    shells_.clear();
    copies_.clear();
    differences_.clear();
    copies_running_ = 0;
    differences_running_ = 0;
    founding_.clear();
    vacant_.clear();
    loop_.cancel(vacancy_timer_);
    vacancy_timer_ = 0;
}

void Mover::stop() {
    is_stopped_ = true;
    end_all();
}

void Mover::enter_cluster(base::ClusterId cluster) {
    end_all();
    options_.cluster = cluster;
    generations_.clear();
    make_cores();
    host_.seats_changed();
}

Mover::Shell* Mover::find(base::PartitionId partition) {
    const auto found = shells_.find(partition);
    return found == shells_.end() ? nullptr : &found->second;
}

const Mover::Shell* Mover::find(base::PartitionId partition) const {
    const auto found = shells_.find(partition);
    return found == shells_.end() ? nullptr : &found->second;
}

absl::Status Mover::restore(const std::vector<std::pair<base::PartitionId, std::string>>& stored,
                            const std::set<base::PartitionId>& with_data) {
    const SeatRecords blank(options_.seat_count);
    const std::string no_seats = encode_seat_records(options_.cluster, blank);
    std::vector<std::pair<base::PartitionId, SeatRecords>> decoded;
    for (const auto& [partition, value] : stored) {
        absl::StatusOr<SeatRecords> records =
            decode_seat_records(value, options_.cluster, options_.seat_count);
        if (!records.ok()) return records.status();
        if (find(partition) == nullptr) continue;
        // What stands under a seat of another cluster is not this one's to remove.
        if (*records != blank || (value == no_seats && with_data.contains(partition))) {
            decoded.emplace_back(partition, *std::move(records));
        }
    }
    for (auto& [partition, records] : decoded) {
        find(partition)->core->restore(std::move(records));
        flush(partition);
    }
    return absl::OkStatus();
}

void Mover::found(Done done) {
    founded_ = std::move(done);
    for (auto& [partition, shell] : shells_) {
        if (shell.core->is_blank()) {
            shell.core->found();
            founding_.insert(partition);
        }
    }
    if (founding_.empty()) {
        return std::exchange(founded_, nullptr)(absl::OkStatus());
    }
    for (const base::PartitionId partition : options_.partitions) {
        flush(partition);
    }
}

void Mover::set_targets(base::PartitionId partition, std::span<const base::NodeId> targets) {
    Shell* shell = find(partition);
    if (shell == nullptr) return;
    shell->core->set_targets({targets.begin(), targets.end()});
    flush(partition);
}

void Mover::view_changed(const SeatView& view, std::span<const base::PartitionId> partitions) {
    for (const base::PartitionId partition : partitions) {
        Shell* shell = find(partition);
        if (shell == nullptr) continue;
        const std::span<const SeatView::Holder> holders = view.holders(partition);
        for (uint8_t seat = 0; seat < holders.size(); ++seat) {
            shell->core->note_holder(base::SeatIndex(seat), holders[seat]);
            note_vacancy(partition, base::SeatIndex(seat), holders[seat]);
        }
        flush(partition);
    }
    arm_vacancies();
}

void Mover::note_vacancy(base::PartitionId partition,
                         base::SeatIndex seat,
                         const SeatView::Holder& listed) {
    const SeatView::Holder& last = find(partition)->core->known(seat);
    const bool is_listed = !listed.node.is_none() && listed.epoch >= last.epoch;
    if (last.node.is_none() || last.node == options_.self || is_listed) {
        vacant_.erase({partition, seat});
    } else {
        vacant_.insert({partition, seat});
    }
}

void Mover::arm_vacancies() {
    if (vacant_.empty() || vacancy_timer_ != 0 || is_stopped_) return;
    vacancy_timer_ = loop_.schedule_after(options_.vacancy_interval, [this] {
        vacancy_timer_ = 0;
        tell_last_holders();
        arm_vacancies();
    });
}

// Mostly such a seat is on its way to a successor. But its holder's disk may have been set back to
// before it held the seat, and then nobody else can tell it.
void Mover::tell_last_holders() {
    std::erase_if(vacant_, [this](const auto& vacant) {
        const auto& [partition, seat] = vacant;
        const bool is_here = find(partition)->core->known(seat).node == options_.self;
        if (!is_here) tell_last_holder(partition, seat);
        return is_here;
    });
}

void Mover::tell_last_holder(base::PartitionId partition, base::SeatIndex seat) {
    STARLING_MARK(mover_tells_last_holder);
    const SeatView::Holder& last = find(partition)->core->known(seat);
    constexpr uint32_t any_generation = 0;
    send(partition,
         {.to = last.node,
          .message = {.kind = MoveKind::held_by_you, .seat = seat, .epoch = last.epoch}},
         any_generation);
}

Mover::SeatEpochs Mover::highest_epochs(base::PartitionId partition) const {
    SeatEpochs found;
    const Shell* shell = find(partition);
    if (shell == nullptr) return found;
    const SeatRecords& records = shell->core->durable();
    for (uint8_t seat = 0; seat < records.size(); ++seat) {
        if (records[seat].highest) found.emplace(base::SeatIndex(seat), *records[seat].highest);
    }
    return found;
}

bool Mover::tell_forgotten(base::PartitionId partition,
                           base::NodeId node,
                           const SeatEpochs& there) {
    bool has_forgotten = false;
    for (auto vacant = vacant_.lower_bound({partition, base::SeatIndex(0)});
         vacant != vacant_.end() && vacant->first == partition;
         ++vacant) {
        const base::SeatIndex seat = vacant->second;
        const SeatView::Holder& last = find(partition)->core->known(seat);
        if (last.node != node) continue;
        const auto known = there.find(seat);
        // It may have fenced the seat for a successor that is silent.
        if (known != there.end() && known->second >= last.epoch) {
            STARLING_MARK(mover_last_holder_knows_its_seat);
            continue;
        }
        has_forgotten = true;
        tell_last_holder(partition, seat);
    }
    return has_forgotten;
}

// A message of an earlier life of its sender, or to an earlier life of this node, is past. The
// latter's sender is told: it might go on for ever, and this node may have nothing else to say to
// it.
bool Mover::is_current(base::NodeId from, const AddressedMove& move) {
    uint32_t& heard = generations_[from];
    if (move.from_generation < heard) {
        STARLING_MARK(mover_message_of_earlier_life);
        return false;
    }
    heard = move.from_generation;
    if (move.to_generation != 0 && move.to_generation != options_.generation) {
        STARLING_MARK(mover_message_to_earlier_life);
        send(move.partition,
             {.to = from, .message = {.kind = MoveKind::alive, .seat = {}, .epoch = {}}});
        return false;
    }
    return true;
}

void Mover::on_message(base::NodeId from, const peer::HandoverMessage& message) {
    const absl::StatusOr<AddressedMove> move =
        from_proto(message, options_.partition_count, options_.seat_count);
    if (!move.ok()) {
        STARLING_MARK(mover_message_malformed);
        ++malformed_messages_;
        return;
    }
    Shell* shell = find(move->partition);
    if (shell == nullptr || !is_current(from, *move)) return;
    shell->core->receive(from, move->message);
    flush(move->partition);
}

void Mover::end_moves(base::PartitionId partition) {
    if (Shell* shell = find(partition)) {
        shell->core->end_moves();
        flush(partition);
    }
}

void Mover::let_go(base::PartitionId partition) {
    if (Shell* shell = find(partition)) {
        shell->core->let_go();
        flush(partition);
    }
}

SeatSet Mover::counts(base::PartitionId partition) const {
    const Shell* shell = find(partition);
    return shell == nullptr ? SeatSet() : shell->core->counts();
}

bool Mover::stores(base::PartitionId partition, uint32_t replicas) const {
    const Shell* shell = find(partition);
    return shell != nullptr && shell->core->stores(replicas);
}

void Mover::add_held(base::PartitionId partition, const Shell& shell, std::vector<HeldSeat>& out) {
    const SeatRecords& records = shell.core->durable();
    for (size_t seat = 0; seat < records.size(); ++seat) {
        if (records[seat].state != SeatState::holding) continue;
        out.push_back({.partition = partition,
                       .seat = base::SeatIndex(static_cast<uint8_t>(seat)),
                       .epoch = records[seat].epoch});
    }
}

std::vector<HeldSeat> Mover::held() const {
    std::vector<HeldSeat> seats;
    for (const auto& [partition, shell] : shells_) {
        add_held(partition, shell, seats);
    }
    return seats;
}

std::vector<HeldSeat> Mover::held(base::PartitionId partition) const {
    std::vector<HeldSeat> seats;
    if (const Shell* shell = find(partition)) {
        add_held(partition, *shell, seats);
    }
    return seats;
}

bool Mover::needs_data(GroupId group) const {
    const Shell* shell = find(group.partition);
    return shell != nullptr && shell->core->needs_data_of(group.replicas);
}

bool Mover::is_filling(base::PartitionId partition) const {
    const Shell* shell = find(partition);
    return shell != nullptr && shell->core->count_of(SeatState::filling) > 0;
}

bool Mover::is_fenced_for(base::PartitionId partition,
                          base::SeatIndex seat,
                          base::NodeId successor) const {
    const Shell* shell = find(partition);
    return shell != nullptr && shell->core->is_fenced_for(seat, successor);
}

bool Mover::is_at_rest(base::PartitionId partition) const {
    const Shell* shell = find(partition);
    return shell != nullptr && shell->core->is_at_rest();
}

size_t Mover::count_of(SeatState state) const {
    size_t count = 0;
    for (const auto& [partition, shell] : shells_) {
        count += shell.core->count_of(state);
    }
    return count;
}

void Mover::flush(base::PartitionId partition) {
    Shell* shell = find(partition);
    if (shell == nullptr || is_stopped_) return;
    const MoveEffects effects = shell->core->take_effects();
    for (const uint64_t job : effects.cancelled_syncs) {
        cancel_sync(partition, job);
    }
    for (const OutgoingMove& move : effects.sends) {
        send(partition, move);
    }
    for (const SetTimer& timer : effects.timers) {
        set_timer(partition, timer);
    }
    for (const StartSync& sync : effects.syncs) {
        auto& queue = sync.kind == SyncKind::difference ? differences_ : copies_;
        queue.push_back({.partition = partition, .sync = sync});
    }
    start_waiting();
    if (effects.seats_changed) {
        host_.seats_changed();
    }
    // Last, because their outcome may come before they return, and is the core's next event.
    if (effects.drop_groups_up_to) {
        drop(partition, *effects.drop_groups_up_to);
    }
    if (effects.persist) {
        persist(partition, *effects.persist, effects.takes_up);
    }
}

void Mover::persist(base::PartitionId partition, const SeatRecords& records, bool takes_up) {
    std::string value = encode_seat_records(options_.cluster, records);
    auto done = lifeline_.guard(
        [this, partition](const absl::Status& status) { on_persisted(partition, status); });
    if (takes_up) {
        host_.take_up_seats(partition, std::move(value), std::move(done));
    } else {
        host_.persist_seats(partition, std::move(value), std::move(done));
    }
}

void Mover::on_persisted(base::PartitionId partition, const absl::Status& status) {
    find(partition)->core->persisted(status.ok());
    flush(partition);
    if (founding_.empty()) return;
    if (!status.ok()) {
        founded_(status);
        return;
    }
    founding_.erase(partition);
    if (founding_.empty()) {
        std::exchange(founded_, nullptr)(status);
    }
}

void Mover::drop(base::PartitionId partition, uint8_t replicas_max) {
    host_.drop(
        partition, replicas_max, lifeline_.guard([this, partition](const absl::Status& status) {
            find(partition)->core->dropped(status.ok());
            flush(partition);
        }));
}

void Mover::send(base::PartitionId partition, const OutgoingMove& move) {
    const auto heard = generations_.find(move.to);
    send(partition, move, heard == generations_.end() ? 0 : heard->second);
}

void Mover::send(base::PartitionId partition, const OutgoingMove& move, uint32_t to_generation) {
    peer::HandoverMessage message;
    to_proto({.partition = partition,
              .from_generation = options_.generation,
              .to_generation = to_generation,
              .message = move.message},
             message);
    host_.send(move.to, std::move(message));
}

base::Duration Mover::delay_of(const SetTimer& timer) {
    base::Duration delay = options_.patience;
    if (timer.timer == MoveTimer::retry) {
        constexpr uint32_t doublings_max = 16;
        delay = std::min(options_.retry_max,
                         options_.retry_min * (1 << std::min(timer.repetition, doublings_max)));
    }
    // 3/4 to 5/4 of it, so that nodes that wait for one another do not keep step.
    const auto spread = static_cast<uint64_t>(std::max<int64_t>(delay.count() / 2, 1));
    return delay * 3 / 4 + base::Duration(static_cast<int64_t>(random_.below(spread)));
}

void Mover::set_timer(base::PartitionId partition, const SetTimer& timer) {
    const auto key = std::make_pair(timer.seat, timer.timer);
    env::TimerId& armed = find(partition)->timers[key];
    loop_.cancel(armed);
    armed = loop_.schedule_after(delay_of(timer), [this, partition, key] {
        Shell* shell = find(partition);
        shell->timers.erase(key);
        shell->core->timer(key.first, key.second);
        flush(partition);
    });
}

void Mover::cancel_sync(base::PartitionId partition, uint64_t job) {
    const auto is_job = [&](const Waiting& waiting) {
        return waiting.partition == partition && waiting.sync.job == job;
    };
    std::erase_if(copies_, is_job);
    std::erase_if(differences_, is_job);
    Shell* shell = find(partition);
    const auto running = shell->running.find(job);
    if (running == shell->running.end()) return;
    STARLING_MARK(mover_sync_cancelled);
    entropy_.cancel(running->second.first);
    --(running->second.second == SyncKind::difference ? differences_running_ : copies_running_);
    shell->running.erase(running);
}

void Mover::start_waiting() {
    while (!differences_.empty() && differences_running_ < options_.fills_max) {
        const Waiting next = differences_.front();
        differences_.pop_front();
        ++differences_running_;
        start(next);
    }
    while (!copies_.empty() && copies_running_ < options_.fills_max) {
        const Waiting next = copies_.front();
        copies_.pop_front();
        ++copies_running_;
        start(next);
    }
}

SyncOutcome Mover::outcome_of(const absl::Status& status) {
    if (status.ok()) return SyncOutcome::done;
    return absl::IsDataLoss(status) ? SyncOutcome::unreadable : SyncOutcome::failed;
}

void Mover::start(const Waiting& waiting) {
    const uint64_t job = waiting.sync.job;
    const base::PartitionId partition = waiting.partition;
    const bool is_difference = waiting.sync.kind == SyncKind::difference;
    const uint64_t sync = entropy_.start_partition_sync(
        {.partition = partition,
         .from = waiting.sync.from,
         .seat = waiting.sync.seat,
         .is_copy = waiting.sync.kind == SyncKind::copy,
         .is_fill = waiting.sync.kind != SyncKind::compare,
         .wants_fence = is_difference},
        [this, partition, job, is_difference](const absl::Status& status) {
            Shell* shell = find(partition);
            shell->running.erase(job);
            --(is_difference ? differences_running_ : copies_running_);
            shell->core->sync_finished(job, outcome_of(status));
            flush(partition);
            start_waiting();
        });
    find(partition)->running[job] = {sync, waiting.sync.kind};
}

}  // namespace starling::node
