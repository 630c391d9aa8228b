// What one core does with one event. The play of several is explored in exploration_test.cc.

#include "node/handover/move_core.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace starling::node {
namespace {

constexpr base::NodeId a(1);
constexpr base::NodeId b(2);
constexpr base::NodeId c(3);
constexpr base::NodeId d(4);
constexpr base::SeatIndex seat_0(0);
constexpr base::SeatIndex seat_1(1);

Epoch epoch_of(uint64_t moves) {
    return {.claim = {}, .moves = moves};
}

MoveMessage message(MoveKind kind, base::SeatIndex seat, uint64_t moves) {
    return {.kind = kind, .seat = seat, .epoch = epoch_of(moves)};
}

bool says(const MoveEffects& effects, base::NodeId to, MoveKind kind) {
    return std::any_of(effects.sends.begin(), effects.sends.end(), [&](const OutgoingMove& move) {
        return move.to == to && move.message.kind == kind;
    });
}

// A holds seat 0, b and c the others; the targets want d in a's place.
class MoveCoreTest : public testing::Test {
  protected:
    MoveCore holder(base::NodeId self, size_t seat) {
        MoveCore core({.self = self});
        SeatRecords records(3);
        records[seat] = {.state = SeatState::holding, .highest = Epoch{}};
        core.restore(records);
        inform(core);
        return core;
    }
    MoveCore successor() {
        MoveCore core({.self = d});
        inform(core);
        return core;
    }
    void inform(MoveCore& core) {
        core.note_holder(seat_0, {.node = a, .epoch = {}});
        core.note_holder(seat_1, {.node = b, .epoch = {}});
        core.note_holder(base::SeatIndex(2), {.node = c, .epoch = {}});
        core.set_targets({d, b, c});
    }
    // The giver, fenced, with all written.
    MoveCore fenced() {
        MoveCore core = holder(a, 0);
        core.receive(d, message(MoveKind::nearly, seat_0, 0));
        MoveEffects asking = core.take_effects();
        for (const OutgoingMove& move : asking.sends) {
            if (move.message.kind != MoveKind::permit_ask || move.to != b) continue;
            MoveMessage grant = move.message;
            grant.kind = MoveKind::permit_grant;
            core.receive(b, grant);
        }
        EXPECT_TRUE(core.take_effects().persist.has_value());
        core.persisted(true);
        return core;
    }
    // What b answers to the giver's question for leave.
    static MoveMessage grant_of_b(MoveCore& core) {
        MoveMessage grant;
        for (const OutgoingMove& move : core.take_effects().sends) {
            if (move.to == b && move.message.kind == MoveKind::permit_ask) grant = move.message;
        }
        grant.kind = MoveKind::permit_grant;
        return grant;
    }
    // The successor, filling, with all written.
    MoveCore filling() {
        MoveCore core = successor();
        core.receive(a, message(MoveKind::offer, seat_0, 0));
        EXPECT_TRUE(core.take_effects().persist.has_value());
        core.persisted(true);
        return core;
    }
};

TEST_F(MoveCoreTest, AFounderHoldsAllSeatsOnceThatIsDurable) {
    MoveCore core({.self = a});
    core.found();
    EXPECT_TRUE(core.counts().empty());
    EXPECT_TRUE(core.take_effects().persist.has_value());
    EXPECT_TRUE(core.counts().empty());
    core.persisted(true);
    EXPECT_EQ(core.counts().size(), 3u);
    EXPECT_TRUE(core.take_effects().seats_changed);
}

TEST_F(MoveCoreTest, AHolderOutsideTheTargetsOffersItsSeat) {
    MoveCore core = holder(a, 0);
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::offer));
    MoveCore other = holder(b, 1);
    EXPECT_FALSE(says(other.take_effects(), d, MoveKind::offer));
}

TEST_F(MoveCoreTest, AnOfferIsAcceptedOnlyAfterItIsOnDisk) {
    MoveCore core = successor();
    core.receive(a, message(MoveKind::offer, seat_0, 0));
    MoveEffects effects = core.take_effects();
    EXPECT_FALSE(says(effects, a, MoveKind::accept));
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::filling);
    core.persisted(true);
    effects = core.take_effects();
    EXPECT_TRUE(says(effects, a, MoveKind::accept));
    ASSERT_EQ(effects.syncs.size(), 1u);
    EXPECT_EQ(effects.syncs[0].kind, SyncKind::copy);
    EXPECT_TRUE(core.counts().empty());
    EXPECT_TRUE(core.stores(1));
}

TEST_F(MoveCoreTest, ANodeWithASeatRefusesASecondOne) {
    MoveCore core = holder(b, 1);
    core.take_effects();
    core.receive(a, message(MoveKind::offer, seat_0, 0));
    const MoveEffects effects = core.take_effects();
    EXPECT_TRUE(says(effects, a, MoveKind::refuse));
    EXPECT_TRUE(says(effects, a, MoveKind::held));
    EXPECT_FALSE(effects.persist.has_value());
    MoveCore filler = filling();
    filler.receive(b, message(MoveKind::offer, seat_1, 0));
    EXPECT_TRUE(says(filler.take_effects(), b, MoveKind::refuse));
}

TEST_F(MoveCoreTest, ANodeThatIsNoTargetRefuses) {
    MoveCore core({.self = base::NodeId(9)});
    inform(core);
    core.receive(a, message(MoveKind::offer, seat_0, 0));
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::refuse));
}

TEST_F(MoveCoreTest, TheGiverIsFencedOnDiskBeforeTheSuccessorHearsOfIt) {
    MoveCore core = holder(a, 0);
    core.receive(d, message(MoveKind::nearly, seat_0, 0));
    MoveEffects effects = core.take_effects();
    EXPECT_TRUE(says(effects, b, MoveKind::permit_ask));
    EXPECT_TRUE(says(effects, c, MoveKind::permit_ask));
    EXPECT_TRUE(core.counts().contains(seat_0));
    for (const OutgoingMove& move : effects.sends) {
        if (move.to != c || move.message.kind != MoveKind::permit_ask) continue;
        MoveMessage grant = move.message;
        grant.kind = MoveKind::permit_grant;
        core.receive(c, grant);
    }
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::fenced);
    EXPECT_FALSE(says(effects, d, MoveKind::fenced));
    // From the moment the write is under way it counts no more, whether that succeeds or not.
    EXPECT_TRUE(core.counts().empty());
    core.persisted(false);
    EXPECT_TRUE(core.counts().empty());
    EXPECT_FALSE(says(core.take_effects(), d, MoveKind::fenced));
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_TRUE(core.take_effects().persist.has_value());
    core.persisted(true);
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::fenced));
}

// Its disk may lack something.
TEST_F(MoveCoreTest, AGrantThatComesWhileTheGiverStandsStillDoesNotFence) {
    MoveCore core = holder(a, 0);
    core.receive(d, message(MoveKind::nearly, seat_0, 0));
    const MoveMessage grant = grant_of_b(core);
    core.set_targets({});
    core.receive(b, grant);
    EXPECT_FALSE(core.take_effects().persist.has_value());
    core.set_targets({d, b, c});
    core.receive(b, grant);
    EXPECT_TRUE(core.take_effects().persist.has_value());
}

// A disk that was set back to before it held the seat.
TEST_F(MoveCoreTest, ASeatThatOnlyOthersRememberIsHeldAgain) {
    MoveCore core = successor();
    core.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    MoveEffects effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_TRUE(effects.takes_up);
    EXPECT_EQ((*effects.persist)[0].state, SeatState::holding);
    EXPECT_EQ((*effects.persist)[0].epoch, epoch_of(1));
    EXPECT_TRUE(core.counts().empty());
    core.persisted(false);
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_TRUE(core.take_effects().takes_up) << "again";
    core.persisted(true);
    EXPECT_TRUE(core.counts().contains(seat_0));
    effects = core.take_effects();
    EXPECT_TRUE(says(effects, b, MoveKind::held));
    core.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    EXPECT_FALSE(core.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, ASeatThatOnlyOthersRememberEndsTheFillThatTheDiskStillHas) {
    MoveCore core = filling();
    core.take_effects();
    core.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    const MoveEffects effects = core.take_effects();
    EXPECT_TRUE(effects.takes_up);
    EXPECT_EQ(effects.cancelled_syncs.size(), 1u);
    core.persisted(true);
    EXPECT_TRUE(core.counts().contains(seat_0));
}

TEST_F(MoveCoreTest, ASeatThatWasGivenAwayIsNotHeldAgainForWhatOthersRemember) {
    MoveCore core = fenced();
    core.take_effects();
    core.receive(b, message(MoveKind::held_by_you, seat_0, 0));
    EXPECT_FALSE(core.take_effects().persist.has_value());
    core.receive(d, message(MoveKind::held, seat_0, 1));
    core.receive(d, message(MoveKind::compared, seat_0, 0));
    EXPECT_FALSE(core.take_effects().takes_up);
    core.persisted(true);
    EXPECT_TRUE(core.take_effects().drop_groups_up_to.has_value());
    core.dropped(true);
    core.receive(b, message(MoveKind::held_by_you, seat_0, 0));
    EXPECT_FALSE(core.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, ASeatIsNotTakenUpWhileItIsHeldLaterNorInWhatIsBeingDropped) {
    MoveCore core = successor();
    core.note_holder(seat_0, {.node = c, .epoch = epoch_of(2)});
    core.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    EXPECT_FALSE(core.take_effects().persist.has_value());

    MoveCore dropping = filling();
    dropping.receive(a, message(MoveKind::withdrawn, seat_0, 0));
    dropping.take_effects();
    dropping.persisted(true);
    EXPECT_TRUE(dropping.take_effects().drop_groups_up_to.has_value());
    dropping.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    EXPECT_FALSE(dropping.take_effects().persist.has_value());
    dropping.dropped(true);
    dropping.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    EXPECT_TRUE(dropping.take_effects().takes_up);
}

TEST_F(MoveCoreTest, ASeatThatIsKnownToBeHeldLaterOnceItIsTakenUpIsFenced) {
    MoveCore core = successor();
    core.receive(b, message(MoveKind::held_by_you, seat_0, 1));
    EXPECT_TRUE(core.take_effects().takes_up);
    core.note_holder(seat_0, {.node = c, .epoch = epoch_of(2)});
    core.persisted(true);
    const MoveEffects effects = core.take_effects();
    EXPECT_TRUE(core.counts().empty());
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::fenced);
}

// The disk of the giver was set back to before its fence: it may have nothing to give.
TEST_F(MoveCoreTest, AGiverThatSaysThatItHoldsTheSeatAgainIsNotTakenForFenced) {
    MoveCore core = filling();
    core.receive(a, message(MoveKind::fenced, seat_0, 0));
    MoveEffects effects = core.take_effects();
    ASSERT_EQ(effects.syncs.size(), 1u);
    EXPECT_EQ(effects.syncs[0].kind, SyncKind::difference);
    core.receive(a, message(MoveKind::held, seat_0, 0));
    effects = core.take_effects();
    EXPECT_EQ(effects.cancelled_syncs.size(), 1u);
    core.receive(a, message(MoveKind::withdrawn, seat_0, 0));
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::none);
}

TEST_F(MoveCoreTest, AGiverTellsASuccessorThatHasForgottenThatItHeldTheSeat) {
    MoveCore core = fenced();
    EXPECT_TRUE(core.is_fenced_for(seat_0, d));
    EXPECT_FALSE(core.is_fenced_for(seat_0, b));
    EXPECT_FALSE(core.is_fenced_for(seat_1, d));
    core.receive(d, message(MoveKind::held, seat_0, 1));
    EXPECT_FALSE(core.is_fenced_for(seat_0, d));
    core.take_effects();
    core.receive(d, message(MoveKind::accept, seat_0, 0));
    MoveEffects effects = core.take_effects();
    EXPECT_TRUE(says(effects, d, MoveKind::held_by_you));
    EXPECT_FALSE(says(effects, d, MoveKind::fenced));
}

TEST_F(MoveCoreTest, ASuccessorThatAcceptsWhatTheGiverHasForgottenShowsItThatItHeldTheSeat) {
    MoveCore core({.self = a});
    inform(core);
    core.receive(d, message(MoveKind::accept, seat_0, 0));
    EXPECT_TRUE(core.take_effects().takes_up);
}

TEST_F(MoveCoreTest, AGrantOfAnEarlierTryDoesNotFence) {
    MoveCore core = holder(a, 0);
    core.receive(d, message(MoveKind::nearly, seat_0, 0));
    const MoveMessage grant = grant_of_b(core);
    core.timer(seat_0, MoveTimer::patience);
    EXPECT_TRUE(says(core.take_effects(), b, MoveKind::permit_withdraw));
    core.receive(b, grant);
    const MoveEffects effects = core.take_effects();
    EXPECT_FALSE(effects.persist.has_value());
    // And b, which still thinks it gave leave, hears that it is not needed.
    EXPECT_TRUE(says(effects, b, MoveKind::permit_withdraw));
}

TEST_F(MoveCoreTest, ASeatGivesOnePermitAtATimeAndOnlyWhenItIsOnDisk) {
    MoveCore core = holder(c, 2);
    core.take_effects();
    const MoveMessage ask{.kind = MoveKind::permit_ask,
                          .seat = seat_0,
                          .epoch = {},
                          .granting_seat = base::SeatIndex(2),
                          .attempt = 1};
    core.receive(a, ask);
    MoveEffects effects = core.take_effects();
    EXPECT_TRUE(effects.persist.has_value());
    EXPECT_FALSE(says(effects, a, MoveKind::permit_grant));
    core.persisted(true);
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::permit_grant));
    MoveMessage second = ask;
    second.seat = seat_1;
    core.receive(b, second);
    effects = core.take_effects();
    EXPECT_FALSE(effects.persist.has_value());
    EXPECT_FALSE(says(effects, b, MoveKind::permit_grant));
    // Free again when the seat it was given for is held by the next one.
    core.note_holder(seat_0, {.node = d, .epoch = epoch_of(1)});
    core.receive(b, second);
    EXPECT_TRUE(core.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, APermitIsRememberedAcrossARestart) {
    MoveCore core = holder(c, 2);
    core.take_effects();
    const MoveMessage ask{.kind = MoveKind::permit_ask,
                          .seat = seat_0,
                          .epoch = {},
                          .granting_seat = base::SeatIndex(2),
                          .attempt = 1};
    core.receive(a, ask);
    const SeatRecords on_disk = *core.take_effects().persist;
    MoveCore again({.self = c, .generation = 2});
    again.restore(on_disk);
    inform(again);
    // It asks whether it is still needed.
    EXPECT_TRUE(says(again.take_effects(), a, MoveKind::permit_grant));
    MoveMessage second = ask;
    second.seat = seat_1;
    again.receive(b, second);
    EXPECT_FALSE(again.take_effects().persist.has_value());
    MoveMessage withdraw = ask;
    withdraw.kind = MoveKind::permit_withdraw;
    again.receive(a, withdraw);
    again.receive(b, second);
    EXPECT_TRUE(again.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, TheSuccessorHoldsOnlyAfterTheLastDifferenceAndTheDisk) {
    MoveCore core = filling();
    const uint64_t copy = core.take_effects().syncs.at(0).job;
    core.sync_finished(copy, SyncOutcome::done);
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::nearly));
    core.receive(a, message(MoveKind::fenced, seat_0, 0));
    MoveEffects effects = core.take_effects();
    ASSERT_EQ(effects.syncs.size(), 1u);
    EXPECT_EQ(effects.syncs[0].kind, SyncKind::difference);
    EXPECT_EQ(effects.syncs[0].from, a);
    // Not even the giver's word ends the fill now.
    core.receive(a, message(MoveKind::withdrawn, seat_0, 0));
    EXPECT_FALSE(core.take_effects().persist.has_value());
    core.sync_finished(effects.syncs[0].job, SyncOutcome::done);
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_TRUE(core.counts().empty());
    core.persisted(true);
    EXPECT_TRUE(core.counts().contains(seat_0));
    EXPECT_EQ(core.durable()[0].epoch, epoch_of(1));
    effects = core.take_effects();
    EXPECT_TRUE(effects.seats_changed);
    EXPECT_TRUE(says(effects, a, MoveKind::held));
}

TEST_F(MoveCoreTest, AFailedDifferenceIsAskedForAgain) {
    MoveCore core = filling();
    core.receive(a, message(MoveKind::fenced, seat_0, 0));
    const uint64_t job = core.take_effects().syncs.at(0).job;
    core.sync_finished(job, SyncOutcome::failed);
    EXPECT_TRUE(core.take_effects().syncs.empty());
    core.timer(seat_0, MoveTimer::retry);
    const MoveEffects effects = core.take_effects();
    ASSERT_EQ(effects.syncs.size(), 1u);
    EXPECT_EQ(effects.syncs[0].kind, SyncKind::difference);
    // The end of the old one means nothing any more.
    core.sync_finished(job, SyncOutcome::done);
    EXPECT_FALSE(core.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, AFenceSurvivesARestartAndServesItsSuccessorOnly) {
    MoveCore core = fenced();
    MoveCore again({.self = a, .generation = 2});
    again.restore(core.durable());
    inform(again);
    EXPECT_TRUE(again.counts().empty());
    EXPECT_TRUE(says(again.take_effects(), d, MoveKind::fenced));
    again.receive(d, message(MoveKind::accept, seat_0, 0));
    EXPECT_TRUE(says(again.take_effects(), d, MoveKind::fenced));
    again.receive(base::NodeId(9), message(MoveKind::nearly, seat_0, 0));
    const MoveEffects effects = again.take_effects();
    EXPECT_FALSE(says(effects, base::NodeId(9), MoveKind::fenced));
    EXPECT_TRUE(says(effects, base::NodeId(9), MoveKind::withdrawn));
    again.receive(d, message(MoveKind::refuse, seat_0, 0));
    again.timer(seat_0, MoveTimer::patience);
    EXPECT_FALSE(again.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, ADeclinedMoveIsTakenBackTwoMovesLater) {
    MoveCore giver = fenced();
    giver.receive(b, message(MoveKind::declined, seat_0, 0));
    EXPECT_FALSE(giver.take_effects().persist.has_value());
    giver.receive(d, message(MoveKind::declined, seat_0, 0));
    EXPECT_TRUE(giver.take_effects().persist.has_value());
    EXPECT_TRUE(giver.counts().empty());
    giver.persisted(true);
    EXPECT_EQ(giver.durable()[0].epoch, epoch_of(2));
    EXPECT_TRUE(giver.counts().contains(seat_0));
}

TEST_F(MoveCoreTest, DecliningIsSaidOnlyFromTheDisk) {
    MoveCore core = filling();
    core.take_effects();
    core.end_moves();
    MoveEffects effects = core.take_effects();
    EXPECT_FALSE(says(effects, a, MoveKind::declined));
    EXPECT_EQ(effects.cancelled_syncs.size(), 1u);
    core.persisted(true);
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::declined));
    // The same offer is declined for good.
    core.receive(a, message(MoveKind::offer, seat_0, 0));
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::declined));
    EXPECT_FALSE(core.needs_data());
}

TEST_F(MoveCoreTest, WhatWasDeclinedIsDroppedBeforeAnythingIsFilledAgain) {
    for (const base::SeatIndex later : {seat_0, seat_1}) {
        const base::NodeId giver = later == seat_0 ? a : b;
        MoveCore core = filling();
        core.end_moves();
        core.take_effects();
        core.persisted(true);
        EXPECT_EQ(core.take_effects().drop_groups_up_to, seat_count_max);
        EXPECT_FALSE(core.is_at_rest());
        core.receive(giver, message(MoveKind::offer, later, 2));
        EXPECT_TRUE(says(core.take_effects(), giver, MoveKind::refuse));
        core.dropped(true);
        EXPECT_TRUE(core.is_at_rest());
        core.receive(giver, message(MoveKind::offer, later, 2));
        EXPECT_TRUE(core.take_effects().persist.has_value());
        core.persisted(true);
        EXPECT_EQ(core.durable()[later.raw()].state, SeatState::filling);
        EXPECT_EQ(core.durable()[later.raw()].epoch, epoch_of(2));
    }
}

TEST_F(MoveCoreTest, AnOfferIsWithdrawnAndMadeAgainLater) {
    MoveCore core = holder(a, 0);
    core.take_effects();
    EXPECT_FALSE(core.is_at_rest());
    core.end_moves();
    EXPECT_TRUE(core.is_at_rest());
    EXPECT_TRUE(core.counts().contains(seat_0));
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::withdrawn));
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::offer));
}

// Seed 354 of ten minutes: a giver's table rotted while the holders of its former seats had still
// to pull what came after the last difference.
// Seed 354 of ten minutes: a giver's table rotted while the holders of its former seats had still
// to pull what came after the last difference.
TEST_F(MoveCoreTest, WhatIsFencedAndHeldElsewhereIsLetGoWithoutAComparison) {
    MoveCore core = fenced();
    core.note_holder(seat_0, {.node = d, .epoch = epoch_of(1)});
    core.take_effects();
    core.let_go();
    EXPECT_TRUE(core.take_effects().persist.has_value());
    EXPECT_TRUE(core.needs_data());
    core.persisted(true);
    EXPECT_EQ(core.take_effects().drop_groups_up_to, seat_count_max);
    EXPECT_FALSE(core.needs_data());
}

// A removal that met damage waited for the healing, and that for the removal.
TEST_F(MoveCoreTest, WhatWasGivenAwayNeedsNoDataOfGroupsThatNoOtherSeatBelongsTo) {
    MoveCore core = holder(a, 1);
    EXPECT_TRUE(core.needs_data());
    EXPECT_TRUE(core.needs_data_of(2));
    EXPECT_FALSE(core.needs_data_of(1));
}

TEST_F(MoveCoreTest, WhatIsFencedStaysSoUntilItsSuccessorHolds) {
    MoveCore core = fenced();
    core.take_effects();
    core.end_moves();
    core.let_go();
    EXPECT_FALSE(core.take_effects().persist.has_value());
    EXPECT_TRUE(core.needs_data());
    EXPECT_FALSE(core.is_at_rest());
}

TEST_F(MoveCoreTest, ADifferenceThatCannotBeReadIsDeclinedAndACopyIsTriedAgain) {
    MoveCore core = filling();
    const uint64_t copy = core.take_effects().syncs.at(0).job;
    core.sync_finished(copy, SyncOutcome::unreadable);
    EXPECT_FALSE(core.take_effects().persist.has_value());
    EXPECT_EQ(core.durable()[0].state, SeatState::filling);
    core.receive(a, message(MoveKind::fenced, seat_0, 0));
    const uint64_t difference = core.take_effects().syncs.at(0).job;
    core.sync_finished(difference, SyncOutcome::unreadable);
    EXPECT_TRUE(core.take_effects().persist.has_value());
    core.persisted(true);
    EXPECT_TRUE(says(core.take_effects(), a, MoveKind::declined));
}

TEST_F(MoveCoreTest, WhoHasHeldOrGrantedAnEpochNeverFillsForItAgain) {
    MoveCore core = fenced();
    core.note_holder(seat_0, {.node = d, .epoch = epoch_of(1)});
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::compare));
    core.receive(d, message(MoveKind::compared, seat_0, 0));
    core.take_effects();
    core.persisted(true);
    EXPECT_EQ(core.durable()[0].state, SeatState::none);
    EXPECT_EQ(core.take_effects().drop_groups_up_to, seat_count_max);
    core.dropped(true);
    core.set_targets({a, b, c});
    core.receive(d, message(MoveKind::offer, seat_0, 0));
    EXPECT_TRUE(says(core.take_effects(), d, MoveKind::refuse));
    core.receive(d, message(MoveKind::offer, seat_0, 1));
    EXPECT_TRUE(core.take_effects().persist.has_value());
}

TEST_F(MoveCoreTest, NothingIsFilledWhileTheOldDataIsBeingDropped) {
    MoveCore core = fenced();
    core.note_holder(seat_0, {.node = d, .epoch = epoch_of(1)});
    core.receive(d, message(MoveKind::compared, seat_0, 0));
    core.take_effects();
    core.persisted(true);
    core.take_effects();
    core.set_targets({a, b, c});
    core.receive(d, message(MoveKind::offer, seat_0, 1));
    EXPECT_FALSE(core.take_effects().persist.has_value());
    core.dropped(false);
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_TRUE(core.take_effects().drop_groups_up_to.has_value());
    core.dropped(true);
    core.receive(d, message(MoveKind::offer, seat_0, 1));
    EXPECT_TRUE(core.take_effects().persist.has_value());
}

// Damage is given up only where nothing comes or goes, and a drop may meet it each time.
TEST_F(MoveCoreTest, ADropThatHasFailedHoldsUpNoHealing) {
    MoveCore core = fenced();
    core.note_holder(seat_0, {.node = d, .epoch = epoch_of(1)});
    core.receive(d, message(MoveKind::compared, seat_0, 0));
    core.take_effects();
    core.persisted(true);
    ASSERT_TRUE(core.take_effects().drop_groups_up_to.has_value());
    core.set_targets({});
    EXPECT_FALSE(core.is_at_rest()) << "it is under way";
    core.dropped(false);
    EXPECT_TRUE(core.is_at_rest());
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_FALSE(core.take_effects().drop_groups_up_to.has_value());
    core.set_targets({a, b, c});
    EXPECT_FALSE(core.is_at_rest());
    core.timer(seat_0, MoveTimer::retry);
    EXPECT_TRUE(core.take_effects().drop_groups_up_to.has_value());
}

TEST_F(MoveCoreTest, AHolderConfirmsAComparisonOnlyIfItStillHolds) {
    for (const bool is_still_holding : {true, false}) {
        MoveCore core({.self = d});
        SeatRecords records(3);
        records[0] = {.state = SeatState::holding, .epoch = epoch_of(1), .highest = epoch_of(1)};
        core.restore(records);
        inform(core);
        core.take_effects();
        core.receive(a, message(MoveKind::compare, seat_0, 0));
        const uint64_t job = core.take_effects().syncs.at(0).job;
        if (!is_still_holding) {
            core.note_holder(seat_0, {.node = base::NodeId(9), .epoch = epoch_of(2)});
        }
        core.sync_finished(job, SyncOutcome::done);
        EXPECT_EQ(says(core.take_effects(), a, MoveKind::compared), is_still_holding);
    }
}

TEST_F(MoveCoreTest, AHolderThatSeesItsSeatHeldLaterNeverCountsAgain) {
    MoveCore core = holder(a, 0);
    core.take_effects();
    core.note_holder(seat_0, {.node = c, .epoch = epoch_of(3)});
    EXPECT_TRUE(core.counts().empty());
    EXPECT_TRUE(core.take_effects().persist.has_value());
    core.persisted(true);
    EXPECT_EQ(core.durable()[0].state, SeatState::fenced);
    EXPECT_TRUE(says(core.take_effects(), c, MoveKind::compare));
}

// Its disk was set back to its first tenure; nobody lists the later one of who is bound to it.
TEST_F(MoveCoreTest, AFormerHolderThatIsToldOfALaterFenceCountsNoMoreAndFillsFromThere) {
    MoveCore core = holder(a, 0);
    core.set_targets({a, b, c});
    core.take_effects();
    core.receive(d, message(MoveKind::fenced, seat_0, 1));
    EXPECT_TRUE(core.counts().empty());
    MoveEffects effects = core.take_effects();
    EXPECT_FALSE(says(effects, d, MoveKind::held));
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::fenced);
    core.persisted(true);
    core.set_targets({});
    core.take_effects();
    core.receive(d, message(MoveKind::fenced, seat_0, 1));
    EXPECT_FALSE(core.take_effects().persist.has_value()) << "it would drop what it has";
    core.set_targets({a, b, c});
    core.receive(d, message(MoveKind::fenced, seat_0, 1));
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[0].state, SeatState::filling);
    EXPECT_EQ((*effects.persist)[0].peer, d);
}

TEST_F(MoveCoreTest, AGrowingFounderKeepsOneSeatAndOpensOneGapAtATime) {
    MoveCore core({.self = a});
    core.found();
    core.take_effects();
    core.persisted(true);
    core.set_targets({a, b, c});
    MoveEffects effects = core.take_effects();
    EXPECT_TRUE(says(effects, b, MoveKind::offer));
    EXPECT_TRUE(says(effects, c, MoveKind::offer));
    core.receive(b, message(MoveKind::nearly, seat_1, 0));
    core.receive(c, message(MoveKind::nearly, base::SeatIndex(2), 0));
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    // Its own leave goes to the disk with the fence.
    EXPECT_EQ((*effects.persist)[1].state, SeatState::fenced);
    EXPECT_EQ((*effects.persist)[2].state, SeatState::holding);
    EXPECT_TRUE((*effects.persist)[0].permit.has_value());
    core.persisted(true);
    core.receive(c, message(MoveKind::nearly, base::SeatIndex(2), 0));
    EXPECT_FALSE(core.take_effects().persist.has_value());
    // b holds: the next gap may open, without another word from c.
    core.receive(b, message(MoveKind::held, seat_1, 1));
    effects = core.take_effects();
    ASSERT_TRUE(effects.persist.has_value());
    EXPECT_EQ((*effects.persist)[2].state, SeatState::fenced);
}

TEST_F(MoveCoreTest, NonsenseIsIgnored) {
    MoveCore core = holder(a, 0);
    core.take_effects();
    const std::string before = core.fingerprint();
    core.receive(a, message(MoveKind::declined, seat_0, 0));
    core.receive(d, message(MoveKind::compared, seat_0, 0));
    core.receive(d, message(MoveKind::declined, seat_0, 7));
    core.receive(d, message(MoveKind::fenced, base::SeatIndex(9), 7));
    core.receive(d, message(static_cast<MoveKind>(99), seat_0, 0));
    EXPECT_FALSE(core.take_effects().persist.has_value());
    EXPECT_EQ(core.fingerprint(), before);
}

}  // namespace
}  // namespace starling::node
