#include "gossip/swim_core.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace starling::gossip {
namespace {

using namespace std::chrono_literals;

constexpr base::NodeId self{1};
constexpr uint32_t generation = 5;

Incarnation incarnation(uint32_t refutations, uint32_t of_generation = generation) {
    return Incarnation(Incarnation::first_of(of_generation).raw() + refutations);
}

// Drives one core by hand; all its peers are of one generation.
class SwimCoreTest : public testing::Test {
  protected:
    void make(size_t peers) {
        core_.emplace(options_, self, generation, 1, now_);
        for (size_t i = 0; i < peers; ++i)
            core_->set_member(peer(i), generation, out_);
        out_.clear();
    }
    static base::NodeId peer(size_t i) { return base::NodeId(10 + i); }

    void tick() {
        out_.clear();
        core_->tick(now_, out_);
    }
    // Steps from deadline to deadline, with nobody answering.
    void run_in_silence(base::Duration span) {
        out_.clear();
        const base::MonotonicTime end = now_ + span;
        while (core_->next_deadline() <= end) {
            now_ = std::max(now_, core_->next_deadline());
            core_->tick(now_, out_);
        }
        now_ = end;
    }
    // Runs to the next probe of `target` and leaves only that tick's effects.
    SwimCore::Send run_to_probe() {
        for (int i = 0; i < 1000; ++i) {
            now_ = std::max(now_, core_->next_deadline());
            tick();
            for (const auto& sent : out_.sends) {
                if (sent.message.kind() == peer::SwimMessage::PING) return sent;
            }
        }
        ADD_FAILURE() << "no probe";
        return {};
    }
    peer::SwimMessage message(peer::SwimMessage::Kind kind,
                              uint64_t sequence = 0,
                              base::NodeId target = self) {
        peer::SwimMessage result;
        result.set_kind(kind);
        result.set_sequence(sequence);
        result.set_target(target.raw());
        result.set_incarnation(incarnation(0).raw());
        return result;
    }
    static void add_claim(peer::SwimMessage& to,
                          base::NodeId about,
                          Incarnation at,
                          peer::LivenessUpdate::State state,
                          base::NodeId accuser) {
        auto& update = *to.add_updates();
        update.set_node(about.raw());
        update.set_incarnation(at.raw());
        update.set_state(state);
        update.set_accuser(accuser.raw());
    }
    void receive(base::NodeId from, const peer::SwimMessage& content) {
        out_.clear();
        EXPECT_TRUE(core_->on_message(from, content, now_, out_));
    }
    void hear(base::NodeId from,
              base::NodeId about,
              Incarnation at,
              peer::LivenessUpdate::State state) {
        auto news = message(peer::SwimMessage::UPDATES);
        add_claim(news, about, at, state, from);
        receive(from, news);
    }
    size_t sent_of(peer::SwimMessage::Kind kind) const {
        return static_cast<size_t>(std::ranges::count_if(
            out_.sends, [kind](const auto& sent) { return sent.message.kind() == kind; }));
    }

    SwimOptions options_;
    base::MonotonicTime now_{};
    std::optional<SwimCore> core_;
    SwimCore::Effects out_;
};

TEST_F(SwimCoreTest, AnAnsweredProbeHarmsNobody) {
    make(3);
    for (int i = 0; i < 30; ++i) {
        const auto ping = run_to_probe();
        now_ += 1ms;
        receive(ping.to, message(peer::SwimMessage::ACK, ping.message.sequence(), ping.to));
        EXPECT_TRUE(out_.changes.empty());
    }
    EXPECT_EQ(core_->awareness(), 0u);
}

TEST_F(SwimCoreTest, AnUnansweredPingAsksHelpersThenSuspects) {
    make(6);
    const auto ping = run_to_probe();
    now_ += options_.probe_timeout;
    tick();
    EXPECT_EQ(sent_of(peer::SwimMessage::PING_REQUEST), options_.indirect_probes);
    for (const auto& sent : out_.sends) {
        EXPECT_TRUE(sent.message.kind() != peer::SwimMessage::PING_REQUEST || sent.to != ping.to);
        EXPECT_EQ(base::NodeId(sent.message.target()), ping.to);
    }
    EXPECT_TRUE(out_.changes.empty());
    now_ += options_.probe_interval - options_.probe_timeout;
    tick();
    ASSERT_EQ(out_.changes.size(), 1u);
    EXPECT_EQ(out_.changes[0].node, ping.to);
    EXPECT_EQ(out_.changes[0].liveness, Liveness::suspect);
    EXPECT_EQ(core_->awareness(), options_.indirect_probes) << "not one helper sent its nack";
}

TEST_F(SwimCoreTest, AnAckThroughAHelperCounts) {
    make(6);
    const auto ping = run_to_probe();
    now_ += options_.probe_timeout;
    tick();
    const auto helper = std::ranges::find_if(out_.sends, [](const auto& sent) {
        return sent.message.kind() == peer::SwimMessage::PING_REQUEST;
    });
    ASSERT_NE(helper, out_.sends.end());
    receive(helper->to, message(peer::SwimMessage::ACK, ping.message.sequence(), ping.to));
    now_ += options_.probe_interval - options_.probe_timeout;
    tick();
    EXPECT_EQ(core_->liveness(ping.to), Liveness::alive);
}

TEST_F(SwimCoreTest, AnAckOfAnotherProbeOrFromAStrangerDoesNotCount) {
    make(6);
    const auto ping = run_to_probe();
    receive(ping.to, message(peer::SwimMessage::ACK, ping.message.sequence() + 1, ping.to));
    receive(base::NodeId(999), message(peer::SwimMessage::ACK, ping.message.sequence(), ping.to));
    run_in_silence(options_.probe_interval);
    EXPECT_EQ(core_->liveness(ping.to), Liveness::suspect);
}

TEST_F(SwimCoreTest, NacksSaveTheProbersOwnHealth) {
    make(6);
    const auto ping = run_to_probe();
    now_ += options_.probe_timeout;
    tick();
    std::vector<base::NodeId> helpers;
    for (const auto& sent : out_.sends) {
        if (sent.message.kind() == peer::SwimMessage::PING_REQUEST) helpers.push_back(sent.to);
    }
    for (const auto helper : helpers) {
        receive(helper, message(peer::SwimMessage::NACK, ping.message.sequence(), ping.to));
    }
    now_ += options_.probe_interval - options_.probe_timeout;
    tick();
    EXPECT_EQ(core_->liveness(ping.to), Liveness::suspect);
    EXPECT_EQ(core_->awareness(), 0u);
}

TEST_F(SwimCoreTest, ASuspicionEndsInDeathWhenNobodyRefutes) {
    make(4);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::SUSPECT);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::suspect);
    const auto timeouts = suspicion_timeouts(options_, core_->member_count());
    run_in_silence(timeouts.longest);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::dead);
}

TEST_F(SwimCoreTest, AHigherIncarnationRefutesAndAnEqualOneDoesNot) {
    make(4);
    hear(peer(0), peer(1), incarnation(3), peer::LivenessUpdate::SUSPECT);
    hear(peer(2), peer(1), incarnation(3), peer::LivenessUpdate::ALIVE);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::suspect);
    hear(peer(2), peer(1), incarnation(4), peer::LivenessUpdate::ALIVE);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
    hear(peer(0), peer(1), incarnation(3), peer::LivenessUpdate::SUSPECT);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
    hear(peer(0), peer(1), incarnation(3), peer::LivenessUpdate::DEAD);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
}

TEST_F(SwimCoreTest, OneSaidToBeSuspectOrDeadRefutes) {
    make(4);
    hear(peer(0), self, incarnation(0), peer::LivenessUpdate::SUSPECT);
    EXPECT_EQ(core_->incarnation(), incarnation(1));
    hear(peer(0), self, incarnation(0), peer::LivenessUpdate::SUSPECT);
    EXPECT_EQ(core_->incarnation(), incarnation(1)) << "an old claim is refuted already";
    hear(peer(0), self, incarnation(7), peer::LivenessUpdate::DEAD);
    EXPECT_EQ(core_->incarnation(), incarnation(8));
    EXPECT_EQ(core_->refutations(), 2u);
    EXPECT_EQ(core_->awareness(), 2u);
    // And says so.
    run_in_silence(options_.spread_interval);
    const bool is_told = std::ranges::any_of(out_.sends, [](const auto& sent) {
        return std::ranges::any_of(sent.message.updates(), [](const auto& update) {
            return update.node() == self.raw() && update.state() == peer::LivenessUpdate::ALIVE;
        });
    });
    EXPECT_TRUE(is_told);
}

TEST_F(SwimCoreTest, ClaimsThatCouldNotBeRefutedAreIgnored) {
    make(4);
    hear(peer(0), peer(1), incarnation(UINT32_MAX), peer::LivenessUpdate::DEAD);
    hear(peer(0), peer(1), incarnation(0, generation + 1), peer::LivenessUpdate::DEAD);
    hear(peer(0), peer(1), incarnation(0, generation - 1), peer::LivenessUpdate::DEAD);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
    hear(peer(0), self, incarnation(UINT32_MAX), peer::LivenessUpdate::DEAD);
    hear(peer(0), self, incarnation(0, generation + 1), peer::LivenessUpdate::DEAD);
    EXPECT_EQ(core_->incarnation(), incarnation(0));
}

TEST_F(SwimCoreTest, ADeadMemberIsStillPingedAndToldThatItIsDead) {
    make(4);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::DEAD);
    run_in_silence(3 * options_.dead_probe_interval);
    size_t pings = 0;
    for (const auto& sent : out_.sends) {
        if (sent.to != peer(1)) continue;
        ++pings;
        EXPECT_EQ(sent.message.kind(), peer::SwimMessage::PING);
        ASSERT_GE(sent.message.updates_size(), 1);
        EXPECT_EQ(sent.message.updates(0).node(), peer(1).raw());
        EXPECT_EQ(sent.message.updates(0).state(), peer::LivenessUpdate::DEAD);
    }
    EXPECT_GE(pings, 2u);
    EXPECT_LE(pings, 4u);
    // It answers, having refuted.
    auto ack = message(peer::SwimMessage::ACK, 0, peer(1));
    ack.set_incarnation(incarnation(1).raw());
    receive(peer(1), ack);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
    ASSERT_EQ(out_.changes.size(), 1u);
    EXPECT_EQ(out_.changes[0].was, Liveness::dead);
}

TEST_F(SwimCoreTest, ANewGenerationIsAlive) {
    make(4);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::DEAD);
    out_.clear();
    core_->set_member(peer(1), generation - 1, out_);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::dead);
    core_->set_member(peer(1), generation + 1, out_);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
    ASSERT_EQ(out_.changes.size(), 1u);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::DEAD);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive) << "that was the generation before";
}

TEST_F(SwimCoreTest, APingIsAnsweredToItsSender) {
    make(2);
    receive(peer(0), message(peer::SwimMessage::PING, 77));
    ASSERT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(out_.sends[0].to, peer(0));
    EXPECT_EQ(out_.sends[0].message.kind(), peer::SwimMessage::ACK);
    EXPECT_EQ(out_.sends[0].message.sequence(), 77u);
    receive(peer(0), message(peer::SwimMessage::PING, 78, peer(1)));
    EXPECT_TRUE(out_.sends.empty()) << "meant for another node";
}

TEST_F(SwimCoreTest, AHelperPingsForTheAskerAndPassesTheAckOn) {
    make(3);
    receive(peer(0), message(peer::SwimMessage::PING_REQUEST, 77, peer(1)));
    ASSERT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(out_.sends[0].to, peer(1));
    const uint64_t sequence = out_.sends[0].message.sequence();
    now_ += 1ms;
    receive(peer(1), message(peer::SwimMessage::ACK, sequence, peer(1)));
    ASSERT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(out_.sends[0].to, peer(0));
    EXPECT_EQ(out_.sends[0].message.kind(), peer::SwimMessage::ACK);
    EXPECT_EQ(out_.sends[0].message.sequence(), 77u);
    EXPECT_EQ(base::NodeId(out_.sends[0].message.target()), peer(1));
    receive(peer(1), message(peer::SwimMessage::ACK, sequence, peer(1)));
    EXPECT_TRUE(out_.sends.empty()) << "once";
}

TEST_F(SwimCoreTest, AHelperThatGetsNoAnswerSaysSo) {
    make(3);
    receive(peer(0), message(peer::SwimMessage::PING_REQUEST, 77, peer(1)));
    run_in_silence(options_.probe_timeout);
    const auto nack = std::ranges::find_if(out_.sends, [](const auto& sent) {
        return sent.message.kind() == peer::SwimMessage::NACK;
    });
    ASSERT_NE(nack, out_.sends.end());
    EXPECT_EQ(nack->to, peer(0));
    EXPECT_EQ(nack->message.sequence(), 77u);
}

TEST_F(SwimCoreTest, APauseOfOnesOwnKillsNobody) {
    make(5);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::SUSPECT);
    run_to_probe();
    now_ += 1h;
    tick();
    EXPECT_TRUE(out_.changes.empty());
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::suspect);
    EXPECT_EQ(core_->awareness(), 1u);
    // The time that counts goes on from here.
    const auto timeouts = suspicion_timeouts(options_, core_->member_count());
    run_in_silence(timeouts.longest + 1s);
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::dead);
}

TEST_F(SwimCoreTest, QuietTimesAreNoPause) {
    make(5);
    for (int i = 0; i < 200; ++i) {
        const auto ping = run_to_probe();
        now_ += 1ms;
        receive(ping.to, message(peer::SwimMessage::ACK, ping.message.sequence(), ping.to));
    }
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::SUSPECT);
    tick();
    EXPECT_EQ(core_->awareness(), 0u);
}

TEST_F(SwimCoreTest, NewsIsSentABoundedNumberOfTimes) {
    make(5);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::DEAD);
    run_in_silence(30s);
    size_t told = 0;
    for (const auto& sent : out_.sends) {
        if (sent.to == peer(1)) continue;
        told +=
            static_cast<size_t>(std::ranges::count_if(sent.message.updates(), [](const auto& u) {
                return u.node() == peer(1).raw() && u.state() == peer::LivenessUpdate::DEAD;
            }));
    }
    EXPECT_GE(told, 3u);
    EXPECT_LE(told, options_.retransmit_multiplier);
}

TEST_F(SwimCoreTest, ARemovedMemberIsForgotten) {
    make(3);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::SUSPECT);
    core_->remove_member(peer(1));
    core_->remove_member(peer(1));
    run_in_silence(20s);
    for (const auto& sent : out_.sends)
        EXPECT_NE(sent.to, peer(1));
    receive(peer(1), message(peer::SwimMessage::PING, 1));
    EXPECT_TRUE(out_.sends.empty());
    EXPECT_EQ(core_->member_count(), 3u);
}

TEST_F(SwimCoreTest, MessagesOutOfBoundsAreRefusedWhole) {
    make(2);
    auto unknown_kind = message(static_cast<peer::SwimMessage::Kind>(99));
    EXPECT_FALSE(core_->on_message(peer(0), unknown_kind, now_, out_));
    auto bad = message(peer::SwimMessage::UPDATES);
    add_claim(bad, peer(1), incarnation(0), peer::LivenessUpdate::DEAD, peer(0));
    add_claim(bad, peer(1), incarnation(0), static_cast<peer::LivenessUpdate::State>(9), peer(0));
    EXPECT_FALSE(core_->on_message(peer(0), bad, now_, out_));
    EXPECT_EQ(core_->liveness(peer(1)), Liveness::alive);
}

TEST_F(SwimCoreTest, AnExchangeCorrectsWhatTheOtherHasWrong) {
    make(4);
    hear(peer(0), peer(1), incarnation(0), peer::LivenessUpdate::DEAD);
    hear(peer(0), peer(2), incarnation(2), peer::LivenessUpdate::ALIVE);
    // The other thinks that 2 is dead, and that 1 is alive.
    peer::SwimMessage theirs;
    add_claim(theirs, peer(2), incarnation(1), peer::LivenessUpdate::DEAD, peer(3));
    out_.clear();
    core_->answer_claims(peer(3), theirs.updates(), out_);
    ASSERT_EQ(out_.sends.size(), 1u);
    std::vector<std::pair<uint64_t, int>> told;
    for (const auto& update : out_.sends[0].message.updates()) {
        told.emplace_back(update.node(), update.state());
    }
    EXPECT_NE(std::ranges::find(told, std::pair(peer(1).raw(), int{peer::LivenessUpdate::DEAD})),
              told.end());
    EXPECT_NE(std::ranges::find(told, std::pair(peer(2).raw(), int{peer::LivenessUpdate::ALIVE})),
              told.end());
    // One who has it right is not written to.
    LivenessUpdates right;
    core_->append_claims(right);
    out_.clear();
    core_->answer_claims(peer(3), right, out_);
    EXPECT_TRUE(out_.sends.empty());
}

}  // namespace
}  // namespace starling::gossip
