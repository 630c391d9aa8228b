#pragma once

// Traces for the group model.

#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/trace_search.h"
#include "tests/unit/node/convergence/group_model.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node::group_model {

enum class StepKind : uint8_t {
    read,
    put,
    remove,
    retry,
    deliver,
    take_hint,
    deliver_hint,
    sync,
    crash,
    pull,
    exchange,
    repair,
    report,
    deliver_report,
    learn_start,
    learn_seat,
    tell_hints,
    talk,
    strip,
    collect,
    forget,
    begin_move,
    copy,
    fill,
    fence,
    finish_move,
    abort_move,
    snapshot,
    roll_back,
    wipe,
    lose_record,
    refill,
    expire,
};

struct Step {
    StepKind kind = StepKind::read;
    uint8_t owner = 0;
    uint8_t key = 0;
    Replaces replaces = Replaces::held_by_two;
    uint16_t pick = 0;
    // Of a put.
    bool expires = false;
};

struct Weight {
    StepKind kind;
    const char* name;
    uint32_t weight;
};

inline constexpr Weight weights[] = {
    {StepKind::read, "read", 3},
    {StepKind::put, "put", 5},
    {StepKind::remove, "remove", 3},
    {StepKind::retry, "retry", 2},
    {StepKind::deliver, "deliver", 8},
    {StepKind::take_hint, "take_hint", 2},
    {StepKind::deliver_hint, "deliver_hint", 1},
    {StepKind::sync, "sync", 5},
    {StepKind::crash, "crash", 2},
    {StepKind::pull, "pull", 5},
    {StepKind::exchange, "exchange", 1},
    {StepKind::repair, "repair", 1},
    {StepKind::report, "report", 4},
    {StepKind::deliver_report, "deliver_report", 4},
    {StepKind::learn_start, "learn_start", 2},
    {StepKind::learn_seat, "learn_seat", 1},
    {StepKind::tell_hints, "tell_hints", 2},
    {StepKind::talk, "talk", 4},
    {StepKind::strip, "strip", 1},
    {StepKind::collect, "collect", 3},
    {StepKind::forget, "forget", 1},
    {StepKind::begin_move, "begin_move", 2},
    {StepKind::copy, "copy", 2},
    {StepKind::fill, "fill", 1},
    {StepKind::fence, "fence", 1},
    {StepKind::finish_move, "finish_move", 2},
    {StepKind::abort_move, "abort_move", 1},
    {StepKind::snapshot, "snapshot", 1},
    {StepKind::roll_back, "roll_back", 1},
    {StepKind::wipe, "wipe", 1},
    {StepKind::lose_record, "lose_record", 1},
    {StepKind::refill, "refill", 1},
    {StepKind::expire, "expire", 4},
};

// `expiring`: how many of four values expire.
inline Step random_step(std::mt19937_64& random,
                        const std::vector<StepKind>& kinds,
                        uint64_t expiring) {
    return {.kind = kinds[random() % kinds.size()],
            .owner = static_cast<uint8_t>(random() % node_count),
            .key = static_cast<uint8_t>(random() % 4 == 0 ? 1 : 0),
            .replaces = static_cast<Replaces>(random() % 2),
            .pick = static_cast<uint16_t>(random()),
            .expires = random() % 4 < expiring};
}

// In each trace some kinds are rarer than in others, or absent: what is frequent everywhere hides
// what needs that something does not happen for long.
inline std::vector<Step> random_trace(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<StepKind> kinds;
    for (const Weight& weight : weights) {
        static constexpr uint32_t factors[] = {0, 1, 2, 2, 4};
        kinds.insert(
            kinds.end(), weight.weight * factors[random() % std::size(factors)], weight.kind);
    }
    if (kinds.empty()) kinds.push_back(StepKind::put);
    // A value that has been removed hides what else became of it.
    static constexpr uint64_t expiring_of_four[] = {0, 0, 1, 3};
    const uint64_t expiring = expiring_of_four[random() % std::size(expiring_of_four)];
    std::vector<Step> trace(6 + random() % 54);
    for (Step& step : trace)
        step = random_step(random, kinds, expiring);
    return trace;
}

inline std::string to_string(const Step& step) {
    return fmt::format("{} at {} key {}{}{} pick {}",
                       weights[static_cast<size_t>(step.kind)].name,
                       static_cast<char>('A' + step.owner),
                       step.key,
                       step.replaces == Replaces::seen_by_reader ? " as read" : "",
                       step.kind == StepKind::put && step.expires ? " expires" : "",
                       step.pick);
}

// Runs a trace on a group, and plays the clients: it keeps their readings and requests.
class Player {
  public:
    Player(Group& group, const Rules& rules) : group_(group), rules_(rules) {
        for (auto& readings : readings_)
            readings.push_back({});
    }

    void play(const Step& step) {
        group_.tick();
        const size_t other = (step.owner + 1u + step.pick % 3u) % node_count;
        switch (step.kind) {
            case StepKind::read:
                if (group_.holds_seat(step.owner)) {
                    readings_[step.key].push_back(group_.read(step.owner, step.key));
                }
                return;
            case StepKind::put:
            case StepKind::remove:
                return start(step, other);
            case StepKind::retry:
                return retry(step, other);
            case StepKind::deliver:
                return with_message(step, [&](const Message& m) { group_.deliver(m); });
            case StepKind::take_hint:
                return with_message(step,
                                    [&](const Message& m) { group_.take_hint(step.owner, m); });
            case StepKind::deliver_hint:
                return deliver_hint(step);
            case StepKind::sync:
                return group_.sync(step.owner);
            case StepKind::crash:
                return group_.crash(step.owner);
            case StepKind::pull:
                return group_.pull(step.owner, other, page_of(step));
            case StepKind::exchange:
                return group_.exchange(step.owner, other, step.key);
            case StepKind::repair:
                // Beside lost disks what a reader carries about may be all that is left of a write.
                if (rules_.disks_fail) return;
                return group_.repair(
                    step.owner, other, (step.owner + 2u + step.pick % 2u) % node_count, step.key);
            case StepKind::report:
                return group_.report(step.owner, other);
            case StepKind::deliver_report:
                if (const size_t count = group_.report_count(); count > 0) {
                    group_.deliver_report(count - 1 - recent(step.pick, count));
                }
                return;
            case StepKind::learn_start:
                return group_.learn_start(step.owner, other);
            case StepKind::learn_seat:
                return group_.learn_seat(step.owner, step.pick % seat_count);
            case StepKind::tell_hints:
                return group_.tell_hints(step.owner, other);
            case StepKind::talk:
                return group_.talk(step.pick % 2 == 0 ? std::optional<size_t>(step.owner)
                                                      : std::nullopt);
            case StepKind::strip:
                return group_.strip(step.owner);
            case StepKind::collect:
                return group_.collect(step.owner);
            case StepKind::forget:
                return group_.forget(step.owner);
            case StepKind::begin_move:
                return group_.begin_move(step.pick % seat_count, step.owner);
            case StepKind::copy:
                return group_.copy(step.pick % 3 != 1, step.pick % 3 != 2);
            case StepKind::fill:
                return group_.fill(page_of(step));
            case StepKind::fence:
                return group_.fence();
            case StepKind::finish_move:
                return group_.finish_move();
            case StepKind::abort_move:
                return group_.abort_move();
            case StepKind::snapshot:
                return group_.take_snapshot(step.owner);
            case StepKind::roll_back:
            case StepKind::wipe:
            case StepKind::lose_record:
                return lose_disk(step);
            case StepKind::refill:
                return group_.refill(step.owner);
            case StepKind::expire:
                return group_.expire(step.owner);
        }
    }

  private:
    void start(const Step& step, size_t other) {
        const std::vector<Reading>& readings = readings_[step.key];
        const Put put{.owner = step.owner,
                      .key = step.key,
                      .request = testing::request(group_.now()),
                      .is_tombstone = step.kind == StepKind::remove,
                      .replaces = step.replaces,
                      .other_owner = other,
                      .reading = readings[step.pick % readings.size()],
                      .expires = step.expires};
        puts_.push_back(put);
        group_.put(put);
    }

    void retry(const Step& step, size_t other) {
        if (puts_.empty() || !rules_.requests_remembered) return;
        Put again = puts_[step.pick % puts_.size()];
        again.owner = step.owner;
        again.other_owner = other;
        group_.put(again);
    }

    // One pull of four is interrupted after few dots.
    static size_t page_of(const Step& step) {
        const uint32_t rest = step.pick / 3u;
        return rest % 4 == 0 ? 1 + rest / 4 % 3 : SIZE_MAX;
    }

    // Any of them, or one of the last few, counted from the last.
    static size_t recent(uint16_t pick, size_t count) {
        constexpr size_t recent_max = 6;
        return (pick / 2u) % (pick % 2 == 0 ? count : std::min(count, recent_max));
    }

    template <typename Use>
    void with_message(const Step& step, Use use) {
        const size_t count = group_.messages().size();
        if (count == 0) return;
        // By value: what it does may send more.
        const Message message = group_.messages()[count - 1 - recent(step.pick, count)];
        use(message);
    }

    void deliver_hint(const Step& step) {
        const size_t count = group_.hint_count(step.owner);
        if (count > 0) group_.deliver_hint(step.owner, step.pick % count);
    }

    // At most one disk is lost: with two, W = 2 copies may be gone.
    void lose_disk(const Step& step) {
        if (has_lost_disk_) return;
        has_lost_disk_ = true;
        if (step.kind == StepKind::wipe) {
            group_.wipe(step.owner);
        } else if (step.kind == StepKind::lose_record) {
            group_.lose_record(step.owner, step.key);
        } else {
            group_.roll_back(step.owner);
        }
    }

    Group& group_;
    const Rules& rules_;
    // The first of each key has seen nothing.
    std::array<std::vector<Reading>, key_count> readings_;
    std::vector<Put> puts_;
    bool has_lost_disk_ = false;
};

// Plays, lets the group converge, delivers every message once more, lets it converge again.
inline std::optional<std::string> run(const std::vector<Step>& trace, const Rules& rules) {
    Group group(rules);
    Player player(group, rules);
    for (const Step& step : trace) {
        player.play(step);
        if (auto wrong = group.violation_of_reads()) return wrong;
    }
    group.converge();
    if (auto wrong = group.violation()) return wrong;
    const std::vector<Message> late = group.messages();
    for (const Message& message : late) {
        group.deliver(message);
        group.sync(message.to);
        if (auto wrong = group.violation_of_reads()) return "after late messages: " + *wrong;
    }
    group.converge();
    if (auto wrong = group.violation()) return "after late messages: " + *wrong;
    return std::nullopt;
}

inline starling::testing::TraceSearch<Step> search_under(const Rules& rules) {
    return {.trace_of = random_trace,
            .run = [rules](const std::vector<Step>& trace) { return run(trace, rules); },
            .describe = to_string};
}

}  // namespace starling::node::group_model
