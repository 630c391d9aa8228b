#pragma once

// Traces for the group model: steps made of small numbers that mean something in every state, so
// that any sublist of a trace is a trace too, and a failing one can be shrunk by leaving steps out.

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

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
    snapshot,
    roll_back,
    wipe,
    refill,
    pull,
    exchange,
    report,
    deliver_report,
    learn_start,
    hint_holder_learns,
    report_hints,
    ask_owners,
    seal,
    strip,
    collect,
    forget,
    expire,
    begin_move,
    finish_move,
    lose_record,
};

struct Step {
    StepKind kind = StepKind::read;
    uint8_t owner = 0;
    uint8_t key = 0;
    Replaces replaces = Replaces::held_by_two;
    uint16_t pick = 0;
};

struct Weight {
    StepKind kind;
    const char* name;
    int weight;
};

inline constexpr Weight weights[] = {
    {StepKind::read, "read", 3},
    {StepKind::put, "put", 4},
    {StepKind::remove, "remove", 3},
    {StepKind::retry, "retry", 2},
    {StepKind::deliver, "deliver", 7},
    {StepKind::take_hint, "take_hint", 1},
    {StepKind::deliver_hint, "deliver_hint", 1},
    {StepKind::sync, "sync", 6},
    {StepKind::crash, "crash", 1},
    {StepKind::snapshot, "snapshot", 1},
    {StepKind::roll_back, "roll_back", 1},
    {StepKind::wipe, "wipe", 1},
    {StepKind::refill, "refill", 1},
    {StepKind::pull, "pull", 5},
    {StepKind::exchange, "exchange", 1},
    {StepKind::report, "report", 5},
    {StepKind::deliver_report, "deliver_report", 5},
    {StepKind::learn_start, "learn_start", 2},
    {StepKind::hint_holder_learns, "hint_holder_learns", 1},
    {StepKind::report_hints, "report_hints", 2},
    {StepKind::ask_owners, "ask_owners", 1},
    {StepKind::seal, "seal", 3},
    {StepKind::strip, "strip", 3},
    {StepKind::collect, "collect", 3},
    {StepKind::forget, "forget", 1},
    {StepKind::expire, "expire", 2},
    {StepKind::begin_move, "begin_move", 1},
    {StepKind::finish_move, "finish_move", 1},
    {StepKind::lose_record, "lose_record", 1},
};

inline Step random_step(std::mt19937_64& random) {
    static const std::vector<StepKind> kinds = [] {
        std::vector<StepKind> list;
        for (const Weight& weight : weights)
            list.insert(list.end(), static_cast<size_t>(weight.weight), weight.kind);
        return list;
    }();
    return {.kind = kinds[random() % kinds.size()],
            .owner = static_cast<uint8_t>(random() % node_count),
            .key = static_cast<uint8_t>(random() % 4 == 0 ? 1 : 0),
            .replaces = static_cast<Replaces>(random() % 2),
            .pick = static_cast<uint16_t>(random())};
}

inline std::vector<Step> random_trace(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Step> trace(6 + random() % 50);
    for (Step& step : trace)
        step = random_step(random);
    return trace;
}

inline std::string to_string(const Step& step) {
    return fmt::format("{} at {} key {}{} pick {}",
                       weights[static_cast<size_t>(step.kind)].name,
                       static_cast<char>('A' + step.owner),
                       step.key,
                       step.replaces == Replaces::seen_by_reader ? " as read" : "",
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
                return readings_[step.key].push_back(group_.read(step.owner, step.key));
            case StepKind::put:
            case StepKind::remove:
                return start(step, other);
            case StepKind::retry:
                return retry(step, other);
            case StepKind::deliver:
                return with_message(step, [&](const Message& m) { group_.deliver(m); });
            case StepKind::take_hint:
                return with_message(step, [&](const Message& m) { group_.take_hint(m); });
            case StepKind::deliver_hint:
                if (group_.hint_count() > 0) group_.deliver_hint(step.pick % group_.hint_count());
                return;
            case StepKind::sync:
                return group_.sync(step.owner);
            case StepKind::crash:
                return group_.crash(step.owner);
            case StepKind::snapshot:
                return group_.take_snapshot(step.owner);
            case StepKind::roll_back:
            case StepKind::wipe:
            case StepKind::lose_record:
                return lose_disk(step);
            case StepKind::refill:
                return group_.refill(step.owner);
            case StepKind::pull:
                return group_.pull(step.owner, other);
            case StepKind::exchange:
                return group_.exchange(step.owner, other, step.key);
            case StepKind::report:
                return group_.report(step.owner, other);
            case StepKind::deliver_report:
                if (group_.report_count() > 0) {
                    group_.deliver_report(group_.report_count() - 1 -
                                          step.pick % std::min<size_t>(group_.report_count(), 6));
                }
                return;
            case StepKind::learn_start:
                return group_.learn_start(step.owner, other);
            case StepKind::hint_holder_learns:
                return group_.hint_holder_learns_start(step.owner);
            case StepKind::report_hints:
                return group_.report_hints(step.owner);
            case StepKind::ask_owners:
                return group_.ask_owners(step.owner);
            case StepKind::seal:
                return group_.seal(step.owner);
            case StepKind::strip:
                return group_.strip(step.owner);
            case StepKind::collect:
                return group_.collect(step.owner);
            case StepKind::forget:
                return group_.forget(step.owner);
            case StepKind::expire:
                return group_.expire(step.owner);
            case StepKind::begin_move:
                return group_.begin_move(step.pick % seat_count, step.owner);
            case StepKind::finish_move:
                return group_.finish_move();
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
                      .expires = step.pick % 5 == 0};
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

    template <typename Use>
    void with_message(const Step& step, Use use) {
        if (group_.messages().empty()) return;
        // By value: what it does may send more.
        const Message message = group_.messages()[step.pick % group_.messages().size()];
        use(message);
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

// Leaves out runs of steps, then single ones, as long as the trace still fails.
inline std::vector<Step> shrink(std::vector<Step> trace, const Rules& rules) {
    for (bool again = true; again;) {
        again = false;
        for (size_t size = trace.size() / 2; size >= 1; size /= 2) {
            for (size_t begin = 0; begin + size <= trace.size();) {
                std::vector<Step> shorter = trace;
                const auto from = shorter.begin() + static_cast<ptrdiff_t>(begin);
                shorter.erase(from, from + static_cast<ptrdiff_t>(size));
                if (run(shorter, rules)) {
                    trace = std::move(shorter);
                    again = true;
                } else {
                    ++begin;
                }
            }
        }
    }
    return trace;
}

inline std::string describe_failure(uint64_t seed,
                                    const std::vector<Step>& trace,
                                    const Rules& rules) {
    const std::vector<Step> shortest = shrink(trace, rules);
    std::string text = fmt::format("seed {}: {}\n", seed, *run(shortest, rules));
    for (const Step& step : shortest)
        text += "  " + to_string(step) + "\n";
    return text;
}

}  // namespace starling::node::group_model
