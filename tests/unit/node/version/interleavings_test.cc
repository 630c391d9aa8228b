// Every interleaving of small programs: two puts, a retry and a delete at two minting owners, with
// their messages to all three owners delivered in every order, or never.

#include <set>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "tests/unit/node/version/builders.h"
#include "tests/unit/node/version/cluster_model.h"

namespace starling::node::model {
namespace {

using testing::request;

struct Program {
    // Where each of the four operations is minted, and what the writes replace.
    size_t first_put = 0;
    size_t retry = 1;
    size_t second_put = 0;
    size_t removal = 0;
    Replaces put_replaces = Replaces::held_here;
    Replaces removal_replaces = Replaces::held_here;
    // Where the delete's client had read, just before.
    size_t read_at = 0;
};

enum Operation : uint8_t { put_1, retry_1, put_2, remove_3, operation_count };
constexpr uint8_t all_done = (1 << operation_count) - 1;

struct State {
    Cluster cluster;
    uint8_t done = 0;
};

bool is_possible(const State& state, Operation operation) {
    if ((state.done & (1 << operation)) != 0) return false;
    return operation != retry_1 || (state.done & (1 << put_1)) != 0;
}

void perform(State& state, const Program& program, Operation operation) {
    state.done = static_cast<uint8_t>(state.done | (1 << operation));
    Put put{.request = request(1), .replaces = program.put_replaces};
    switch (operation) {
        case put_1:
            put.owner = program.first_put;
            break;
        case retry_1:
            put.owner = program.retry;
            break;
        case put_2:
            put.owner = program.second_put;
            put.request = request(2);
            break;
        default:
            put.owner = program.removal;
            put.request = request(3);
            put.is_tombstone = true;
            put.replaces = program.removal_replaces;
            put.reading = state.cluster.read(program.read_at, 0);
    }
    put.other_owner = (put.owner + 1) % owner_count;
    state.cluster.put(put);
}

bool is_pending(const Cluster& cluster, const Message& message) {
    return !cluster.frontier(message.to).contains(message.dot);
}

// All that decides what can still happen. A message whose dot its receiver has seen is refused for
// ever.
uint64_t name_of(const State& state) {
    std::string name(1, static_cast<char>(state.done));
    for (size_t owner = 0; owner < owner_count; ++owner) {
        name += testing::encoded(state.cluster.record(owner, 0));
        state.cluster.frontier(owner).encode(name);
    }
    for (const Message& message : state.cluster.messages()) {
        if (!is_pending(state.cluster, message)) continue;
        base::put_u64(name, message.to);
        base::put_u64(name, message.digest);
    }
    return base::xxh3_64(name);
}

class Exploration {
  public:
    Exploration(const Program& program, Rules rules) : program_(program), rules_(rules) {}

    void run() { visit(State{Cluster(rules_), 0}); }
    size_t states() const { return seen_.size(); }
    const std::optional<std::string>& violation() const { return violation_; }

  private:
    // Whatever has not been delivered by now is lost.
    void check(const State& state) {
        Cluster rest = state.cluster;
        rest.converge();
        violation_ = rest.violation();
    }

    void visit(const State& state) {
        if (violation_ || !seen_.insert(name_of(state)).second) return;
        if (state.done == all_done) check(state);
        for (uint8_t i = 0; i < operation_count; ++i) {
            const auto operation = static_cast<Operation>(i);
            if (!is_possible(state, operation)) continue;
            State next = state;
            perform(next, program_, operation);
            visit(next);
        }
        for (size_t i = 0; i < state.cluster.messages().size(); ++i) {
            if (!is_pending(state.cluster, state.cluster.messages()[i])) continue;
            State next = state;
            const Message message = next.cluster.messages()[i];
            next.cluster.deliver(message);
            visit(next);
        }
    }

    Program program_;
    Rules rules_;
    std::set<uint64_t> seen_;
    std::optional<std::string> violation_;
};

struct Named {
    const char* name;
    Program program;
};

constexpr Replaces here = Replaces::held_here;
constexpr Replaces reader = Replaces::seen_by_reader;

const Named programs[] = {
    {"retry elsewhere, delete where it was first put", {0, 1, 0, 0, here, here, 0}},
    {"retry elsewhere, delete by a reader of the retry", {0, 1, 0, 0, here, reader, 1}},
    {"retry elsewhere, delete at the lagging minter", {0, 1, 1, 1, here, reader, 0}},
    {"concurrent puts, delete by a reader of the third", {0, 1, 1, 0, reader, reader, 2}},
    {"puts that ask a second owner first", {0, 1, 1, 0, Replaces::held_by_two, reader, 2}},
};

TEST(InterleavingsTest, EveryOrderOfDeliveryConvergesLosesNothingAndRevivesNothing) {
    size_t states = 0;
    for (const Named& named : programs) {
        Exploration exploration(named.program, Rules{});
        exploration.run();
        EXPECT_FALSE(exploration.violation().has_value())
            << named.name << ": " << *exploration.violation();
        states += exploration.states();
    }
    RecordProperty("states", static_cast<int>(states));
    EXPECT_GT(states, 5'000u);
}

TEST(InterleavingsTest, TheSameProgramsRevealAMergeWithoutMemoryOfRequests) {
    Exploration exploration(programs[0].program, {.requests_remembered = false});
    exploration.run();
    EXPECT_TRUE(exploration.violation().has_value());
}

}  // namespace
}  // namespace starling::node::model
