#pragma once

// Traces for the cluster model.

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/trace_search.h"
#include "tests/unit/node/version/builders.h"
#include "tests/unit/node/version/cluster_model.h"

namespace starling::node::model {

struct Step {
    enum class Kind : uint8_t { read, put, remove, retry, deliver, pull };
    Kind kind = Kind::read;
    uint8_t owner = 0;
    uint8_t key = 0;
    Replaces replaces = Replaces::held_here;
    uint16_t pick = 0;
};

inline Step random_step(std::mt19937_64& random) {
    // Deliveries and retries are what makes histories differ; every fourth step or so writes.
    static constexpr Step::Kind kinds[] = {Step::Kind::read,
                                           Step::Kind::read,
                                           Step::Kind::put,
                                           Step::Kind::put,
                                           Step::Kind::put,
                                           Step::Kind::remove,
                                           Step::Kind::retry,
                                           Step::Kind::retry,
                                           Step::Kind::deliver,
                                           Step::Kind::deliver,
                                           Step::Kind::deliver,
                                           Step::Kind::pull};
    return {.kind = kinds[random() % std::size(kinds)],
            .owner = static_cast<uint8_t>(random() % owner_count),
            .key = static_cast<uint8_t>(random() % 4 == 0 ? 1 : 0),
            .replaces = static_cast<Replaces>(random() % 3),
            .pick = static_cast<uint16_t>(random())};
}

inline std::vector<Step> random_trace(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Step> trace(4 + random() % 30);
    for (Step& step : trace)
        step = random_step(random);
    return trace;
}

inline std::string to_string(const Step& step) {
    static constexpr const char* kinds[] = {"read", "put", "remove", "retry", "deliver", "pull"};
    static constexpr const char* replaced[] = {"what it holds", "what two hold", "what was read"};
    return fmt::format("{} at {} key {} replacing {} pick {}",
                       kinds[static_cast<size_t>(step.kind)],
                       static_cast<char>('A' + step.owner),
                       step.key,
                       replaced[static_cast<size_t>(step.replaces)],
                       step.pick);
}

// Runs a trace on a cluster, and plays the clients: it keeps their readings and requests.
class Player {
  public:
    explicit Player(Cluster& cluster) : cluster_(cluster) {
        for (auto& readings : readings_)
            readings.push_back({});
    }

    void play(const Step& step) {
        switch (step.kind) {
            case Step::Kind::read:
                readings_[step.key].push_back(cluster_.read(step.owner, step.key));
                break;
            case Step::Kind::put:
            case Step::Kind::remove:
                start(step);
                break;
            case Step::Kind::retry:
                if (!puts_.empty()) {
                    Put again = puts_[step.pick % puts_.size()];
                    again.owner = step.owner;
                    again.other_owner = (step.owner + 1) % owner_count;
                    cluster_.put(again);
                }
                break;
            case Step::Kind::deliver:
                if (!cluster_.messages().empty()) {
                    const Message message =
                        cluster_.messages()[step.pick % cluster_.messages().size()];
                    cluster_.deliver(message);
                }
                break;
            case Step::Kind::pull:
                cluster_.pull(step.owner, (step.owner + 1 + step.pick % 2u) % owner_count);
                break;
        }
    }

  private:
    void start(const Step& step) {
        const std::vector<Reading>& readings = readings_[step.key];
        const Put put{.owner = step.owner,
                      .key = step.key,
                      .request = testing::request(puts_.size() + 1),
                      .is_tombstone = step.kind == Step::Kind::remove,
                      .replaces = step.replaces,
                      .other_owner = (step.owner + 1 + step.pick % 2u) % owner_count,
                      .reading = readings[step.pick % readings.size()]};
        puts_.push_back(put);
        cluster_.put(put);
    }

    Cluster& cluster_;
    // The first of each key has seen nothing.
    std::array<std::vector<Reading>, key_count> readings_;
    std::vector<Put> puts_;
};

// Plays, lets the cluster converge, delivers every message once more, lets it converge again.
inline std::optional<std::string> run(const std::vector<Step>& trace, const Rules& rules) {
    Cluster cluster(rules);
    Player player(cluster);
    for (const Step& step : trace)
        player.play(step);
    cluster.converge();
    if (auto wrong = cluster.violation()) return wrong;
    const std::vector<Message> late = cluster.messages();
    for (const Message& message : late)
        cluster.deliver(message);
    cluster.converge();
    if (auto wrong = cluster.violation()) return "after late messages: " + *wrong;
    return std::nullopt;
}

inline starling::testing::TraceSearch<Step> search_under(const Rules& rules) {
    return {.trace_of = random_trace,
            .run = [rules](const std::vector<Step>& trace) { return run(trace, rules); },
            .describe = to_string};
}

}  // namespace starling::node::model
