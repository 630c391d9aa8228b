#include "tests/sim/oracle.h"

#include <algorithm>

#include <fmt/format.h>

namespace starling::sim {

std::string printable(std::string_view bytes) {
    constexpr size_t shown_max = 40;
    std::string out;
    for (const char c : bytes.substr(0, shown_max)) {
        if (c > ' ' && c < '\x7f' && c != '\\') {
            out += c;
        } else {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
    if (bytes.size() > shown_max) out += fmt::format("...({} bytes)", bytes.size());
    return out.empty() ? "(empty)" : out;
}

KeyIndex Oracle::add_key(Key key) {
    keys_.emplace_back();
    keys_.back().key = std::move(key);
    return nth_key(keys_.size() - 1);
}

WriteId Oracle::put_sent(KeyIndex index, Write write, const std::vector<WriteId>& seen) {
    KeyState& of_key = state(index);
    ++counts_.puts_attempted;
    if (write.expires_ms != 0) ++counts_.puts_that_expire;
    if (of_key.under_way > 0) ++counts_.puts_contended;
    ++of_key.under_way;
    return of_key.history.attempt(std::move(write), seen);
}

void Oracle::put_acknowledged(KeyIndex index,
                              WriteId id,
                              SimTime now,
                              const node::PutResult& result,
                              const node::Superseded& seen) {
    KeyState& of_key = state(index);
    const Write& write = of_key.history.get(id);
    if (write.acknowledged == never) {
        ++counts_.puts_acknowledged;
        if (result.receipt.seats_hinted > 0) ++counts_.acknowledged_with_hints;
    }
    check_receipt(index, result.receipt, write.quorum, false);
    check_acceptance(index, id, now, result);
    if (!seen.context.covers(result.dot) && !seen.has_seen(write.request)) {
        report("I6",
               index,
               fmt::format("the context of the put of w{} does not cover its dot {}",
                           id.raw(),
                           node::to_string(result.dot)));
    }
    const uint32_t answered = result.receipt.seats_answered;
    const uint32_t held = answered - std::min(answered, result.receipt.seats_hinted);
    const uint32_t strength = std::min(write.quorum, held);
    // A repeat of a request whose write is superseded already has no dot any more.
    if (result.dot.sequence != 0) {
        learn_dot(index, id, result.dot);
        of_key.dots.emplace(
            id, AcknowledgedDot{.dot = result.dot, .acknowledged = now, .strength = strength});
    }
    of_key.history.acknowledge(id, now, strength);
}

void Oracle::check_acceptance(KeyIndex index,
                              WriteId id,
                              SimTime now,
                              const node::PutResult& result) {
    KeyState& of_key = state(index);
    if (is_last_write_wins(index) && result.dot.sequence != 0) {
        check_time(index, id, result);
        of_key.last_writes.acknowledged(id, {.time = result.time, .dot = result.dot});
    }
    if (of_key.key.policy != node::ConflictPolicy::reject_stale || result.is_repeat) return;
    ++counts_.puts_taken_as_current;
    const WriteId unseen = unseen_by_accepted(of_key.history, id, now, highest_clock_ms_);
    if (unseen.is_none()) return;
    report("I25",
           index,
           fmt::format("taken although it had not seen {}: {}",
                       of_key.history.describe(unseen),
                       of_key.history.describe(id)));
}

// Of a repeat another node may have chosen the time.
void Oracle::check_time(KeyIndex index, WriteId id, const node::PutResult& result) {
    if (result.is_repeat || latest_write_ms_ == UINT64_MAX) return;
    ++counts_.last_writes_timed;
    if (result.time.wall_ms <= latest_write_ms_) return;
    report("I22",
           index,
           fmt::format("the time {} is {} ms later than the clocks of the other nodes allow: {}",
                       node::to_string(result.time),
                       result.time.wall_ms - latest_write_ms_,
                       history(index).describe(id)));
}

void Oracle::put_refused(KeyIndex index, WriteId id) {
    ++counts_.puts_refused;
    state(index).history.refuse(id);
}

void Oracle::put_settled(KeyIndex index, WriteId id, SimTime last_mint) {
    KeyState& of_key = state(index);
    if (of_key.history.get(id).settled == never && of_key.under_way > 0) --of_key.under_way;
    of_key.history.settle(id, last_mint);
}

std::vector<WriteId> Oracle::read_answered(KeyIndex index,
                                           const Read& read,
                                           const node::GetResult& result,
                                           const node::Superseded& seen) {
    KeyState& of_key = state(index);
    ++counts_.reads_checked;
    if (result.values.size() > 1) ++counts_.reads_with_siblings;
    check_receipt(index, result.receipt, read.quorum, true);
    std::vector<std::string> values;
    for (const node::SiblingValue& sibling : result.values)
        values.push_back(sibling.value);
    const std::vector<WriteId> present = identify(index, read.answered, values);
    for (size_t i = 0; i < present.size(); ++i) {
        const node::Dot& dot = result.values[i].dot;
        if (!seen.context.covers(dot)) {
            report("I6",
                   index,
                   fmt::format("a read's context does not cover {}, which it returned",
                               node::to_string(dot)));
        }
        if (present[i].is_none()) continue;
        learn_dot(index, present[i], dot);
        check_expiry(index, read, result.values[i], present[i]);
    }
    std::vector<WriteId> attempted = present;
    std::erase(attempted, WriteId());
    if (is_last_write_wins(index)) {
        check_last(index, read, result, attempted);
    } else {
        check_presence(index, read, attempted);
    }
    check_superseded(index, read, attempted);
    bool met = false;
    for (auto& [id, acknowledged] : of_key.dots) {
        // Another dot of the same request may be the one that was shown.
        if (!shares_a_seat(of_key, read, acknowledged.acknowledged, acknowledged.strength))
            continue;
        met = true;
        if (seen.context.covers(acknowledged.dot) || acknowledged.is_seen_by_all ||
            seen.has_seen(of_key.history.get(id).request)) {
            continue;
        }
        acknowledged.is_seen_by_all =
            seen_by_all_ != nullptr && seen_by_all_(of_key.key, acknowledged.dot);
        if (!acknowledged.is_seen_by_all) {
            report("I6",
                   index,
                   fmt::format("a read's context does not cover the acknowledged dot {}: {}",
                               node::to_string(acknowledged.dot),
                               of_key.history.describe(id)));
        }
    }
    if (met) ++counts_.reads_meeting;
    const uint32_t replicas = of_key.key.replicas;
    if (2 * read.quorum > replicas) {
        for (const WriteId id : attempted)
            of_key.history.show(id, read.answered, replicas - read.quorum + 1);
    }
    // Only what stands is asked for again: the contexts of its superseders cover the rest.
    std::erase_if(of_key.dots, [&](const auto& entry) {
        return std::ranges::find(of_key.history.standing(), entry.first) ==
               of_key.history.standing().end();
    });
    return attempted;
}

bool Oracle::are_enough(const DurableCopies& copies,
                        uint32_t quorum,
                        const node::Receipt& receipt) {
    return copies.seats.size() >= quorum && copies.machines >= receipt.nodes_answered;
}

void Oracle::disks_inspected(KeyIndex index,
                             WriteId id,
                             uint32_t quorum,
                             const node::Receipt& receipt,
                             const DurableCopies& copies) {
    if (are_enough(copies, quorum, receipt)) return;
    report("I10",
           index,
           fmt::format("acknowledged with W={} by {} seats on {} nodes, but a power cut now leaves "
                       "it for {} seats on {} machines: {}",
                       quorum,
                       receipt.seats_answered,
                       receipt.nodes_answered,
                       copies.seats.size(),
                       copies.machines,
                       history(index).describe(id)));
}

void Oracle::replica_inspected(KeyIndex index,
                               const std::vector<std::string>& values,
                               std::string_view where,
                               SimTime now) {
    const Read read{.sent = now, .answered = now, .quorum = key(index).replicas, .quiet = true};
    const size_t found_before = verdict_.violations().size();
    std::vector<WriteId> present = identify(index, now, values);
    std::erase(present, WriteId());
    // All that is stored of a last_write_wins key is more than it shows, and less than was written.
    if (!is_last_write_wins(index)) check_presence(index, read, present);
    check_superseded(index, read, present);
    if (verdict_.violations().size() != found_before) {
        report("I1", index, fmt::format("the above was found on the disk of {}", where));
    }
}

std::string Oracle::describe_key(KeyIndex index) const {
    const History& of_key = history(index);
    std::string out = fmt::format("key {} of {} (partition {}, N={}):\n",
                                  printable(key(index).key),
                                  key(index).name_space,
                                  key(index).partition.raw(),
                                  key(index).replicas);
    for (uint32_t raw = 1; raw <= of_key.size(); ++raw) {
        out += fmt::format("  {} = {}\n",
                           of_key.describe(WriteId(raw)),
                           printable(of_key.get(WriteId(raw)).value));
    }
    return out;
}

void Oracle::report(std::string_view invariant, KeyIndex index, std::string_view what) {
    verdict_.report(invariant,
                    fmt::format("key {} ({}): {}", index.raw(), printable(key(index).key), what));
}

void Oracle::learn_dot(KeyIndex index, WriteId id, const node::Dot& dot) {
    const GroupDot group_dot{key(index).partition, key(index).replicas, dot};
    const auto [at, fresh] = dot_owners_.emplace(group_dot, std::pair(index, id));
    if (fresh || at->second == std::pair(index, id)) return;
    report("I7",
           index,
           fmt::format("dot {} names two writes: {} and, of key {}, {}",
                       node::to_string(dot),
                       history(index).describe(id),
                       at->second.first.raw(),
                       history(at->second.first).describe(at->second.second)));
}

void Oracle::check_receipt(KeyIndex index,
                           const node::Receipt& receipt,
                           uint32_t quorum,
                           bool is_read) {
    const Key& of_key = key(index);
    const bool right = receipt.partition == of_key.partition &&
                       receipt.replicas_total == of_key.replicas && receipt.quorum == quorum &&
                       receipt.seats_answered >= quorum &&
                       receipt.seats_answered <= of_key.replicas && receipt.nodes_answered >= 1 &&
                       receipt.seats_hinted <= (is_read ? 0 : receipt.seats_answered);
    if (right) return;
    report(
        "I11",
        index,
        fmt::format(
            "the receipt of a {} does not fit: partition {}, N={}, quorum {} (asked {}), {} seats "
            "on {} nodes, {} hinted",
            is_read ? "read" : "put",
            receipt.partition.raw(),
            receipt.replicas_total,
            receipt.quorum,
            quorum,
            receipt.seats_answered,
            receipt.nodes_answered,
            receipt.seats_hinted));
}

std::vector<WriteId> Oracle::identify(KeyIndex index,
                                      SimTime answered,
                                      const std::vector<std::string>& values) {
    History& of_key = state(index).history;
    std::vector<WriteId> result;
    for (const std::string& value : values) {
        WriteId id = of_key.find_value(value);
        if (id.is_none()) {
            report("I2",
                   index,
                   fmt::format("{} was returned, which nobody wrote to it", printable(value)));
        } else if (of_key.get(id).started > answered || of_key.get(id).refused) {
            report("I2",
                   index,
                   fmt::format("{} was returned, but was {}",
                               of_key.describe(id),
                               of_key.get(id).refused ? "refused" : "sent later"));
        } else if (std::ranges::find(result, id) != result.end()) {
            report("I8", index, fmt::format("{} was returned twice", of_key.describe(id)));
            id = WriteId();
        } else {
            of_key.mark_read(id);
        }
        result.push_back(id);
    }
    return result;
}

bool Oracle::shares_a_seat(const KeyState& state,
                           const Read& read,
                           SimTime since,
                           uint32_t strength) const {
    const bool is_left = !has_lost_a_disk_ || strength > 1;
    return since < read.sent && is_left &&
           (read.quiet || read.quorum + strength > state.key.replicas);
}

bool Oracle::meets(const KeyState& state, const Read& read, WriteId id) const {
    const Write& write = state.history.get(id);
    return shares_a_seat(state, read, write.acknowledged, write.strength) ||
           shares_a_seat(state, read, write.shown, write.shown_strength);
}

// What any read returned, if only at R=1, is there when all is quiet.
bool Oracle::must_show(const KeyState& state, const Read& read, WriteId id) const {
    return (read.quiet && !has_lost_a_disk_) || meets(state, read, id);
}

void Oracle::check_presence(KeyIndex index, const Read& read, const std::vector<WriteId>& present) {
    KeyState& of_key = state(index);
    std::vector<WriteId> wanted = of_key.history.standing();
    if (read.quiet) {
        wanted = of_key.history.known();
    } else {
        std::ranges::copy_if(of_key.history.shown(), std::back_inserter(wanted), [&](WriteId id) {
            return std::ranges::find(wanted, id) == wanted.end();
        });
    }
    for (const WriteId id : wanted) {
        if (!must_show(of_key, read, id) || of_key.history.get(id).is_delete ||
            std::ranges::find(present, id) != present.end()) {
            continue;
        }
        if (of_key.history.absence_explained(id, present, expired_by_ms(read))) {
            if (of_key.history.may_have_expired(id, expired_by_ms(read)))
                ++counts_.absent_after_expiry;
            of_key.history.forget_shown(id);
            continue;
        }
        report("I1",
               index,
               fmt::format("lost: a read sent {:.6f} with R={} returned {} values, not {}",
                           static_cast<double>(read.sent.count()) * 1e-9,
                           read.quorum,
                           present.size(),
                           of_key.history.describe(id)));
    }
}

void Oracle::check_last(KeyIndex index,
                        const Read& read,
                        const node::GetResult& result,
                        const std::vector<WriteId>& present) {
    const KeyState& of_key = state(index);
    if (result.values.size() > 1) {
        report("I24", index, fmt::format("{} values are shown", result.values.size()));
        return;
    }
    std::vector<WriteId> met;
    const std::vector<WriteId> wanted =
        read.quiet ? of_key.history.known() : of_key.history.standing();
    std::ranges::copy_if(wanted, std::back_inserter(met), [&](WriteId id) {
        return of_key.history.get(id).acknowledged != never && must_show(of_key, read, id);
    });
    LastWrites::Shown shown;
    if (!present.empty()) {
        shown = {.id = present.front(),
                 .stamp = {.time = result.values.front().time, .dot = result.values.front().dot}};
    }
    const uint64_t compared_before = of_key.last_writes.compared();
    const std::string wrong = of_key.last_writes.judge(
        of_key.history,
        shown,
        met,
        read.answered,
        {.expired_by_ms = expired_by_ms(read), .collected_before_ms = collected_before_ms()});
    counts_.last_writes_compared += of_key.last_writes.compared() - compared_before;
    if (wrong.empty()) return;
    report("I24",
           index,
           fmt::format("a read sent {:.6f} with R={}: {}",
                       static_cast<double>(read.sent.count()) * 1e-9,
                       read.quorum,
                       wrong));
}

void Oracle::check_expiry(KeyIndex index,
                          const Read& read,
                          const node::SiblingValue& sibling,
                          WriteId id) {
    const Write& write = history(index).get(id);
    if (sibling.expires_ms != write.expires_ms) {
        report("I26",
               index,
               fmt::format("{} was returned as a value that expires at {}",
                           history(index).describe(id),
                           sibling.expires_ms));
    }
    if (write.expires_ms == 0) return;
    if (write.expires_ms > read.clock_low_ms) {
        ++counts_.shown_before_expiry;
        return;
    }
    report("I26",
           index,
           fmt::format("expired: {} was returned at {} by the node's clock",
                       history(index).describe(id),
                       read.clock_low_ms));
}

void Oracle::check_superseded(KeyIndex index,
                              const Read& read,
                              const std::vector<WriteId>& present) {
    const KeyState& of_key = state(index);
    for (const WriteId id : present) {
        const WriteId rival = of_key.history.find_superseder(
            id, [&](WriteId upper) { return std::ranges::find(present, upper) != present.end(); });
        if (!rival.is_none()) {
            report("I15",
                   index,
                   fmt::format("siblings, but the second replaces the first: {} and {}",
                               of_key.history.describe(id),
                               of_key.history.describe(rival)));
            continue;
        }
        const WriteId met = of_key.history.find_superseder(
            id, [&](WriteId upper) { return meets(of_key, read, upper); });
        if (!met.is_none()) {
            report("I3",
                   index,
                   fmt::format(
                       "returned from the dead by a read sent {:.6f} with R={}: {}, replaced by {}",
                       static_cast<double>(read.sent.count()) * 1e-9,
                       read.quorum,
                       of_key.history.describe(id),
                       of_key.history.describe(met)));
        }
    }
}

}  // namespace starling::sim
