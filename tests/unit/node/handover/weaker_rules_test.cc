// Each rule of the protocol that looks as if it could be left out, left out: the same steps that do
// no harm with the rule do the predicted harm without it. Names as in docs/handover.md.

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/unit/node/handover/world.h"

namespace starling::node {
namespace {

constexpr NodeIndex A = 0;
constexpr NodeIndex B = 1;
constexpr NodeIndex C = 2;
constexpr NodeIndex D = 3;
constexpr NodeIndex E = 4;

// Performs steps by name; one that is not possible now is passed over, so that the same script runs
// with and without a rule.
class Script {
  public:
    explicit Script(const Scenario& scenario) : scenario_(scenario), world_(scenario_) {}
    Script(const Script&) = delete;

    bool deliver(MoveKind kind, NodeIndex from, NodeIndex to) {
        const auto action = world_.delivery(kind, from, to, std::nullopt);
        return action && step(*action);
    }
    bool disk(NodeIndex node) { return step({.kind = Action::Kind::disk, .node = node}); }
    bool copied(NodeIndex node) { return step({.kind = Action::Kind::finish_job, .node = node}); }
    bool crash(NodeIndex node) { return step({.kind = Action::Kind::crash, .node = node}); }
    bool die(NodeIndex node) { return step({.kind = Action::Kind::die, .node = node}); }
    bool restart(NodeIndex node) { return step({.kind = Action::Kind::restart, .node = node}); }
    bool write(NodeIndex node) { return step({.kind = Action::Kind::write, .node = node}); }
    bool read(NodeIndex node) { return step({.kind = Action::Kind::read, .node = node}); }
    bool learn(NodeIndex node) { return step({.kind = Action::Kind::learn, .node = node}); }
    bool drop(NodeIndex node) { return step({.kind = Action::Kind::drop, .node = node}); }
    bool decline(NodeIndex node) { return step({.kind = Action::Kind::decline, .node = node}); }
    bool new_targets(NodeIndex node) {
        return step({.kind = Action::Kind::change_targets, .node = node});
    }
    bool retry(NodeIndex node, uint16_t seat) {
        return step({.kind = Action::Kind::retry, .node = node, .arg = seat});
    }
    bool patience(NodeIndex node, uint16_t seat) {
        return step({.kind = Action::Kind::patience, .node = node, .arg = seat});
    }

    // Until `to` has told `from` that its copy is nearly in step.
    void fill(NodeIndex from, NodeIndex to) {
        deliver(MoveKind::offer, from, to);
        disk(to);
        copied(to);
    }
    // And `from`, with the leave of `granting`, is fenced.
    void fence(NodeIndex from, NodeIndex to, NodeIndex granting) {
        deliver(MoveKind::nearly, to, from);
        deliver(MoveKind::permit_ask, from, granting);
        disk(granting);
        deliver(MoveKind::permit_grant, granting, from);
        disk(from);
    }
    // And `to` has taken the last difference and holds.
    void take(NodeIndex from, NodeIndex to) {
        deliver(MoveKind::fenced, from, to);
        copied(to);
        disk(to);
    }

    SeatState state(NodeIndex node, uint8_t seat = 0) const {
        return world_.core(node)->durable()[seat].state;
    }
    const std::string& violation() const { return world_.violation(); }
    const World& world() const { return world_; }

  private:
    bool step(const Action& action) {
        std::optional<World> next = world_.after(action);
        if (!next) return false;
        world_ = *std::move(next);
        return true;
    }

    const Scenario scenario_;
    World world_;
};

TEST(WeakerRulesTest, TheWholeMoveAsItShouldBe) {
    Script script({});
    script.fill(A, D);
    EXPECT_EQ(script.state(D), SeatState::filling);
    script.fence(A, D, B);
    EXPECT_EQ(script.state(A), SeatState::fenced);
    script.take(A, D);
    EXPECT_EQ(script.state(D), SeatState::holding);
    EXPECT_EQ(script.world().core(D)->durable()[0].epoch.moves, 1u);
    EXPECT_TRUE(script.learn(A));
    EXPECT_TRUE(script.deliver(MoveKind::compare, A, D));
    EXPECT_TRUE(script.copied(D));
    EXPECT_TRUE(script.deliver(MoveKind::compared, D, A));
    EXPECT_TRUE(script.disk(A));
    EXPECT_TRUE(script.drop(A));
    EXPECT_EQ(script.state(A), SeatState::none);
    EXPECT_TRUE(script.learn(B));
    EXPECT_TRUE(script.world().is_settled()) << script.world().to_string();
    EXPECT_EQ(script.violation(), "");
}

TEST(WeakerRulesTest, fence_not_exclusive) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.nodes = 5,
                       .targets = {4, 1, 2},
                       .later_targets = {3, 1, 2},
                       .rules = {.is_fence_exclusive = is_rule_kept}});
        // A offers to E, which fills; then A's targets change and it gives the seat to D.
        script.fill(A, E);
        EXPECT_EQ(script.state(E), SeatState::filling);
        script.new_targets(A);
        script.new_targets(D);
        script.fill(A, D);
        script.fence(A, D, B);
        ASSERT_EQ(script.state(A), SeatState::fenced) << script.world().to_string();
        script.take(A, D);
        ASSERT_EQ(script.state(D), SeatState::holding);
        // E, which knows nothing of D, asks the fenced A.
        EXPECT_TRUE(script.deliver(MoveKind::nearly, E, A));
        script.take(A, E);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, fence_forgotten) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.crashes = 1, .rules = {.is_fence_durable = is_rule_kept}});
        script.fill(A, D);
        script.fence(A, D, B);
        script.take(A, D);
        script.write(D);
        script.write(B);
        script.crash(A);
        script.restart(A);
        script.read(A);
        script.read(C);
        EXPECT_TRUE(script.world().is_acknowledged());
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, difference_from_any_holder) {
    for (const bool is_rule_kept : {true, false}) {
        // The holders seen by D are A, C and B in this order, so another one than A is the lagging
        // C.
        Script script({.holders = {0, 2, 1},
                       .targets = {3, 2, 1},
                       .rules = {.is_difference_from_giver = is_rule_kept}});
        script.fill(A, D);
        script.write(A);
        script.write(B);
        ASSERT_TRUE(script.world().is_acknowledged());
        script.fence(A, D, B);
        script.take(A, D);
        ASSERT_EQ(script.state(D), SeatState::holding);
        script.read(C);
        script.read(D);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, ready_before_synced) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.rules = {.is_synced_before_holding = is_rule_kept}});
        script.fill(A, D);
        script.write(A);
        script.write(B);
        script.fence(A, D, B);
        script.take(A, D);
        ASSERT_EQ(script.state(D), SeatState::holding);
        script.read(C);
        script.read(D);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, hold_not_durable) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.crashes = 1, .declines = 1, .rules = {.is_hold_durable = is_rule_kept}});
        script.fill(A, D);
        script.fence(A, D, B);
        script.take(A, D);
        ASSERT_EQ(script.state(D), SeatState::holding);
        script.write(B);
        script.write(D);
        ASSERT_TRUE(script.world().is_acknowledged());
        script.crash(D);
        script.restart(D);
        script.decline(D);
        script.disk(D);
        script.deliver(MoveKind::declined, D, A);
        script.disk(A);
        script.read(A);
        script.read(C);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, declined_without_memory) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.nodes = 5,
                       .targets = {3, 1, 2},
                       .later_targets = {4, 1, 2},
                       .rules = {.is_declined_remembered = is_rule_kept}});
        script.fill(A, D);
        script.fence(A, D, B);
        script.take(A, D);
        // The seat moves on to E, and D lets go of everything, before A has heard of any of it.
        for (const NodeIndex node : {D, E}) {
            script.new_targets(node);
        }
        script.learn(C);
        script.fill(D, E);
        script.fence(D, E, C);
        script.take(D, E);
        ASSERT_EQ(script.state(E), SeatState::holding);
        script.learn(D);
        script.deliver(MoveKind::compare, D, E);
        script.copied(E);
        script.deliver(MoveKind::compared, E, D);
        script.disk(D);
        script.drop(D);
        ASSERT_EQ(script.state(D), SeatState::none);
        // A asks D for news of the move.
        EXPECT_TRUE(script.deliver(MoveKind::fenced, A, D));
        script.deliver(MoveKind::declined, D, A);
        script.disk(A);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, seat_counted_twice) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.counts_nodes = !is_rule_kept});
        script.write(B);
        script.write(C);
        ASSERT_TRUE(script.world().is_acknowledged());
        script.read(A);
        script.fill(A, D);
        script.fence(A, D, B);
        script.take(A, D);
        ASSERT_EQ(script.state(D), SeatState::holding);
        // Nothing was acknowledged by A, so D need not have it: two answers, one seat.
        script.read(D);
        EXPECT_EQ(script.violation().empty(), is_rule_kept) << script.violation();
    }
}

TEST(WeakerRulesTest, two_gaps) {
    for (const bool is_rule_kept : {true, false}) {
        Script script({.nodes = 5,
                       .targets = {3, 4, 2},
                       .deaths = 2,
                       .has_write = false,
                       .rules = {.is_permit_needed = is_rule_kept}});
        script.fill(A, D);
        script.fill(B, E);
        script.fence(A, D, C);
        script.fence(B, E, C);
        EXPECT_EQ(script.state(A), SeatState::fenced);
        script.die(D);
        script.die(E);
        // All data is alive, on A, B and C; how many seats count?
        size_t counting = 0;
        for (const NodeIndex node : {A, B, C}) {
            counting += script.world().core(node)->counts().size();
        }
        EXPECT_EQ(counting, is_rule_kept ? 2u : 1u);
    }
}

}  // namespace
}  // namespace starling::node
