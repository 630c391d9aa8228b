#include "node/entropy/entropy.h"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/node/entropy/fakes.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr GroupId group_a{.partition = base::PartitionId(7), .replicas = 3};

class Replica final : public PlainEntropyHost {
  public:
    Replica(base::NodeId id,
            FakeLoop& loop,
            FakeRandom& random,
            FakeNetwork& network,
            const EntropyOptions& options)
        : self(id),
          groups(loop, random),
          network_(network),
          entropy(options, *this, groups, loop, random) {
        network_.connect(self, [this](base::NodeId from, const std::string& bytes) {
            peer::EntropyMessage message;
            ASSERT_TRUE(message.ParseFromString(bytes));
            if (filter && !filter(message)) return;
            entropy.on_message(from, message);
        });
    }
    ~Replica() { network_.disconnect(self); }
    void send(base::NodeId to, peer::EntropyMessage message) override {
        network_.send(self, to, message.SerializeAsString());
    }
    void counting(GroupId, bool, CountingDone done) override {
        asked_to_count.push_back(std::move(done));
    }
    void told_counting(GroupId,
                       base::NodeId,
                       uint64_t question,
                       const peer::EntropyCounting& counting) override {
        told.emplace_back(question, counting.is_checking());
    }
    void reported(GroupId,
                  base::NodeId from,
                  const Frontier&,
                  const peer::EntropyReport&) override {
        reported_by.push_back(from);
        if (on_reported) on_reported();
    }
    Actor actor() const { return {.node = self, .start = 1, .random = self.raw()}; }

    std::vector<base::NodeId> reported_by;
    std::function<void()> on_reported;
    std::vector<CountingDone> asked_to_count;
    std::vector<std::pair<uint64_t, bool>> told;
    const base::NodeId self;
    FakeGroups groups;
    std::function<bool(const peer::EntropyMessage&)> filter;

  private:
    FakeNetwork& network_;

  public:
    Entropy entropy;
};

// Some replicas of one group, and all that was ever written.
class EntropyTest : public testing::Test {
  protected:
    void make(size_t count, uint64_t seed) {
        replicas_.clear();
        written_.clear();
        random_ = FakeRandom(seed);
        for (uint64_t i = 1; i <= count; ++i) {
            replicas_.push_back(
                std::make_unique<Replica>(base::NodeId(i), loop_, random_, network_, options_));
        }
    }
    // What all owners have seen is in no index any more.
    void make_two_of_which_one_lost_what_all_had_seen() {
        make(2, 4);
        const std::string key = group_key(base::default_namespace_id, "k");
        replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false);
        replicas_[1]->groups.groups[group_a].index.clear();
    }
    void watch_all() {
        for (const auto& replica : replicas_) {
            std::vector<base::NodeId> others;
            for (const auto& other : replicas_) {
                if (other != replica) others.push_back(other->self);
            }
            replica->entropy.set_peers(group_a, others);
        }
    }
    std::string random_key() {
        return group_key(base::default_namespace_id, "key" + std::to_string(random_.below(60)));
    }
    // At one replica; perhaps some others hear of it.
    void write_somewhere() {
        Replica& at = *replicas_[random_.below(replicas_.size())];
        const std::string key = random_key();
        const std::string value =
            random_.chance(0.2) ? "" : std::string(1 + random_.below(400), 'v');
        const Dot dot = at.groups.write(group_a, key, at.actor(), value, random_.chance(0.3));
        written_.emplace_back(key, dot);
        for (const auto& other : replicas_) {
            if (other.get() != &at && random_.chance(0.4)) {
                other->groups.apply(group_a, key, at.groups.groups[group_a].records[key]);
            }
        }
    }
    // I1: whatever a frontier has, its replica reflects.
    void expect_frontiers_reflected() {
        for (const auto& replica : replicas_) {
            auto& group = replica->groups.groups[group_a];
            for (const auto& [key, dot] : written_) {
                if (!group.frontier.contains(dot)) continue;
                const auto record = group.records.find(key);
                ASSERT_TRUE(record != group.records.end() && record->second.context.covers(dot))
                    << to_string(dot) << " is in the frontier of " << to_string(replica->self)
                    << " and not reflected";
            }
        }
    }
    using Fill =
        std::function<void(const peer::EntropyMessage& question, peer::EntropyMessage& answer)>;
    // The second replica answers all questions with what `fill` makes of them. The outcome of the
    // first one's pull.
    absl::Status outcome_of_pull_from(const Fill& fill) {
        network_.connect(replicas_[1]->self, [&](base::NodeId from, const std::string& bytes) {
            peer::EntropyMessage question;
            ASSERT_TRUE(question.ParseFromString(bytes));
            peer::EntropyMessage answer;
            answer.set_session(question.session());
            answer.set_request(question.request());
            answer.set_partition(question.partition());
            answer.set_replicas(question.replicas());
            if (question.has_groups_ask()) {
                answer.mutable_groups()->add_replicas(3);
            } else {
                fill(question, answer);
            }
            network_.send(base::NodeId(2), from, answer.SerializeAsString());
        });
        absl::Status outcome;
        replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition, .from = replicas_[1]->self},
            [&](absl::Status status) { outcome = status; });
        loop_.run_for(seconds(5));
        return outcome;
    }
    bool are_equal() {
        const auto first = replicas_[0]->groups.summary(group_a);
        for (const auto& replica : replicas_) {
            const auto other = replica->groups.summary(group_a);
            if (other->frontier != first->frontier || other->buckets != first->buckets)
                return false;
        }
        return true;
    }
    void expect_equal_records() {
        for (const auto& replica : replicas_) {
            auto& own = replica->groups.groups[group_a];
            auto& first = replicas_[0]->groups.groups[group_a];
            ASSERT_EQ(own.records.size(), first.records.size());
            for (const auto& [key, record] : first.records) {
                EXPECT_EQ(own.records[key].context, record.context);
                EXPECT_EQ(own.records[key].siblings, record.siblings);
            }
            EXPECT_EQ(own.frontier, first.frontier);
            EXPECT_EQ(own.frontier.gap_count(), 0u);
        }
    }

    EntropyOptions options_{.interval = seconds(2),
                            .retry_min = milliseconds(50),
                            .request_timeout = milliseconds(50),
                            .batch_bytes_max = 2000};
    FakeLoop loop_;
    FakeRandom random_{1};
    FakeNetwork network_{loop_, random_};
    std::vector<std::unique_ptr<Replica>> replicas_;
    std::vector<std::pair<std::string, Dot>> written_;
};

TEST_F(EntropyTest, DivergentReplicasBecomeEqual) {
    for (uint64_t seed = 1; seed <= 15; ++seed) {
        make(2 + seed % 2, seed);
        for (int i = 0; i < 200; ++i) {
            write_somewhere();
        }
        watch_all();
        ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60))) << "seed " << seed;
        expect_equal_records();
        expect_frontiers_reflected();
    }
}

TEST_F(EntropyTest, LostRepeatedAndReorderedMessagesOnlyDelayIt) {
    network_.loss = 0.2;
    network_.duplication = 0.2;
    network_.delay_max = milliseconds(40);
    for (uint64_t seed = 100; seed < 108; ++seed) {
        make(3, seed);
        for (int i = 0; i < 150; ++i) {
            write_somewhere();
        }
        watch_all();
        ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(300))) << "seed " << seed;
        expect_equal_records();
        expect_frontiers_reflected();
    }
}

TEST_F(EntropyTest, WritesDuringSessionsNeverMakeAFrontierLie) {
    for (uint64_t seed = 200; seed < 208; ++seed) {
        make(3, seed);
        watch_all();
        for (int i = 0; i < 300; ++i) {
            write_somewhere();
            loop_.run_for(milliseconds(static_cast<int64_t>(random_.below(20))));
            if (i % 20 == 0) expect_frontiers_reflected();
        }
        ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(120))) << "seed " << seed;
        expect_equal_records();
        expect_frontiers_reflected();
    }
}

TEST_F(EntropyTest, AnInterruptedSessionUnitesNothingAndTheNextOneCompletes) {
    options_.batch_bytes_max = 1 << 10;
    make(2, 5);
    for (int i = 0; i < 100; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        written_.emplace_back(
            key, replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false));
    }
    int answers = 0;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        return message.body_case() != peer::EntropyMessage::kMissing || ++answers <= 3;
    };
    absl::Status outcome;
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(5));
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable);
    auto& group = replicas_[0]->groups.groups[group_a];
    EXPECT_GE(group.records.size(), 1u);
    EXPECT_LT(group.records.size(), 100u);
    expect_frontiers_reflected();
    EXPECT_NE(group.frontier, replicas_[1]->groups.groups[group_a].frontier);

    replicas_[0]->filter = nullptr;
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
}

TEST_F(EntropyTest, WhatAnInterruptedSessionHasMergedIsNotPulledAgain) {
    options_.batch_bytes_max = 1 << 10;
    make(2, 5);
    for (int i = 0; i < 100; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        for (const char* value : {"first", "second"}) {
            written_.emplace_back(
                key, replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), value, false));
        }
    }
    int answers = 0;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        return message.body_case() != peer::EntropyMessage::kMissing || ++answers <= 3;
    };
    const auto pull = [&] {
        absl::Status outcome;
        replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition, .from = replicas_[1]->self},
            [&](absl::Status status) { outcome = std::move(status); });
        loop_.run_for(seconds(20));
        return outcome;
    };
    EXPECT_FALSE(pull().ok());
    EXPECT_GE(replicas_[0]->entropy.counters().records_pulled, 1u);
    EXPECT_LT(replicas_[0]->entropy.counters().records_pulled, 100u);
    expect_frontiers_reflected();
    replicas_[0]->filter = nullptr;
    EXPECT_TRUE(pull().ok());
    EXPECT_TRUE(are_equal());
    // One whose two writes lie in two pages may come with both.
    EXPECT_LE(replicas_[0]->entropy.counters().records_pulled, 102u);
}

// A node was refilled from such a one for ever, in vain.
TEST_F(EntropyTest, WhoTellsItsEpochTakesOverFromOneThatOnceDroppedTheGroup) {
    make(2, 5);
    for (int i = 0; i < 20; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        written_.emplace_back(
            key, replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false));
    }
    replicas_[1]->groups.drops[group_a] = 3;
    absl::Status outcome = absl::UnknownError("not ended");
    replicas_[0]->entropy.start_partition_sync({.partition = group_a.partition,
                                                .from = replicas_[1]->self,
                                                .is_copy = true,
                                                .is_fill = true,
                                                .tells_epoch = true},
                                               [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
    EXPECT_THAT(replicas_[0]->reported_by, testing::ElementsAre(replicas_[1]->self))
        << "it may know of a later epoch";
}

// A late message brings what the giver had deleted and forgotten, when its keys have been compared.
TEST_F(EntropyTest, WhatComesBehindTheComparisonOfARefillGoesByTheGiversWord) {
    make(2, 5);
    FakeGroups::Group& giver = replicas_[1]->groups.groups[group_a];
    const std::string deleted = group_key(base::default_namespace_id, "deleted");
    replicas_[1]->groups.write(group_a, deleted, replicas_[1]->actor(), "v", false);
    const Record late = giver.records[deleted];
    giver.records.clear();
    giver.index.clear();
    replicas_[1]->groups.write(
        group_a, group_key(base::default_namespace_id, "k"), replicas_[1]->actor(), "v", false);
    replicas_[0]->groups.before_unite = [&] { replicas_[0]->groups.apply(group_a, deleted, late); };
    absl::Status outcome = absl::UnknownError("not ended");
    replicas_[0]->entropy.start_partition_sync({.partition = group_a.partition,
                                                .from = replicas_[1]->self,
                                                .is_copy = true,
                                                .is_fill = true,
                                                .tells_epoch = true},
                                               [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->groups.before_unite, nullptr);
    EXPECT_THAT(replicas_[0]->groups.groups[group_a].records[deleted].siblings, testing::IsEmpty());
    EXPECT_TRUE(are_equal());
}

// As one that is being refilled itself.
TEST_F(EntropyTest, WhoIsRefilledFromOneThatGivesNoCopiesTakesWhatItLacks) {
    options_.request_timeout = milliseconds(200);
    make(2, 5);
    const std::string key = group_key(base::default_namespace_id, "k");
    replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false);
    replicas_[1]->filter = [](const peer::EntropyMessage& message) { return !message.has_scan(); };
    absl::Status outcome = absl::UnknownError("not ended");
    replicas_[0]->entropy.start_partition_sync({.partition = group_a.partition,
                                                .from = replicas_[1]->self,
                                                .is_copy = true,
                                                .is_fill = true,
                                                .tells_epoch = true},
                                               [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(60));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
}

TEST_F(EntropyTest, WhatAllOwnersHadSeenAndIsMissingHereIsALossAndIsNotPassedOver) {
    make_two_of_which_one_lost_what_all_had_seen();
    absl::Status outcome;
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = std::move(status); });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(absl::IsDataLoss(outcome)) << outcome;
    EXPECT_EQ(replicas_[0]->losses_noticed, 1);
    replicas_[0]->owns_groups = false;
    replicas_[0]->groups.groups[group_a] = {};
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = std::move(status); });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(outcome.ok()) << "who has given its seat away was none of them: " << outcome;
    replicas_[0]->owns_groups = true;
    replicas_[0]->groups.groups[group_a] = {};
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self, .is_fill = true},
        [&](absl::Status status) { outcome = std::move(status); });
    loop_.run_for(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
}

TEST_F(EntropyTest, ALossThatIsNoticedMayEndTheComparisonThatNoticedIt) {
    make_two_of_which_one_lost_what_all_had_seen();
    replicas_[0]->on_loss = [&] { replicas_[0]->entropy.set_peers(group_a, {}); };
    replicas_[0]->entropy.set_peers(group_a, {replicas_[1]->self});
    loop_.run_for(seconds(60));
    EXPECT_EQ(replicas_[0]->losses_noticed, 1);
}

// As when it says that this disk was set back.
TEST_F(EntropyTest, AReportMayEndTheComparisonThatItCameWith) {
    make(2, 3);
    write_somewhere();
    bool is_ended = false;
    replicas_[0]->on_reported = [&] {
        is_ended = true;
        replicas_[0]->entropy.set_peers(group_a, {});
    };
    replicas_[0]->entropy.set_peers(group_a, {replicas_[1]->self});
    loop_.run_for(seconds(10));
    EXPECT_TRUE(is_ended);
    replicas_[0]->on_reported = nullptr;
    watch_all();
    loop_.run_for(seconds(10));
    EXPECT_TRUE(are_equal());
}

// A pull of 100 keys during which `meanwhile` happens to the peer, after the third records.
struct EntropyPeerTest : EntropyTest {
    absl::Status pull(const std::function<void()>& meanwhile) {
        options_.batch_bytes_max = 1 << 10;
        make(2, 5);
        for (int i = 0; i < 100; ++i) {
            const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
            written_.emplace_back(
                key, replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false));
        }
        int answers = 0;
        replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
            if (message.body_case() == peer::EntropyMessage::kMissing && ++answers == 3) {
                loop_.post(meanwhile);
            }
            return true;
        };
        absl::Status outcome = absl::UnknownError("not ended");
        replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition, .from = replicas_[1]->self},
            [&](absl::Status status) { outcome = std::move(status); });
        loop_.run_for(seconds(20));
        return outcome;
    }
};

TEST_F(EntropyPeerTest, AGroupThatThePeerDropsDuringASessionIsNotUnited) {
    const absl::Status outcome =
        pull([this] { replicas_[1]->groups.drop(group_a.partition, group_a.replicas); });
    EXPECT_FALSE(outcome.ok());
    expect_frontiers_reflected();
}

TEST_F(EntropyPeerTest, APeerThatRestartsWithoutWhatItHadNotSyncedEndsTheSession) {
    const absl::Status outcome = pull([this] {
        const base::NodeId peer = replicas_[1]->self;
        replicas_[1].reset();
        replicas_[1] = std::make_unique<Replica>(peer, loop_, random_, network_, options_);
    });
    EXPECT_FALSE(outcome.ok());
    expect_frontiers_reflected();
}

TEST_F(EntropyTest, EqualReplicasExchangeLessThanAKibibytePerRound) {
    make(2, 9);
    for (int i = 0; i < 500; ++i) {
        write_somewhere();
    }
    watch_all();
    ASSERT_TRUE(loop_.run_until(
        [&] {
            return are_equal() && replicas_[0]->entropy.dirty_count() == 0 &&
                   replicas_[1]->entropy.dirty_count() == 0;
        },
        seconds(60)));
    network_.bytes_sent = 0;
    const uint64_t checks =
        replicas_[0]->entropy.counters().checks + replicas_[1]->entropy.counters().checks;
    loop_.run_for(seconds(100));
    const uint64_t rounds =
        replicas_[0]->entropy.counters().checks + replicas_[1]->entropy.counters().checks - checks;
    EXPECT_GE(rounds, 30u);
    // One side's question serves both.
    EXPECT_LE(rounds, 80u);
    EXPECT_LT(network_.bytes_sent, rounds * 1024);
}

// How long replica 0 takes to pull 100 keys of 1,000 B from replica 1.
struct EntropyPaceTest : EntropyTest {
    base::Duration pull() {
        make(2, 5);
        for (int i = 0; i < 100; ++i) {
            replicas_[1]->groups.write(
                group_a,
                group_key(base::default_namespace_id, "k" + std::to_string(i)),
                replicas_[1]->actor(),
                std::string(1000, 'x'),
                false);
        }
        replicas_[0]->clients_wait = clients_wait_;
        bool is_done = false;
        const base::MonotonicTime begin = loop_.now();
        replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition, .from = replicas_[1]->self},
            [&](const absl::Status& status) {
                EXPECT_TRUE(status.ok()) << status;
                is_done = true;
            });
        EXPECT_TRUE(loop_.run_until([&] { return is_done; }, seconds(600)));
        return loop_.now() - begin;
    }
    bool clients_wait_ = false;
};

TEST_F(EntropyPaceTest, WhatAnswersBringStaysWithinTheBudget) {
    EXPECT_LT(pull(), seconds(1));
    EXPECT_EQ(replicas_[0]->entropy.counters().questions_put_off, 0u);
    options_.bytes_per_second = 10'000;
    const base::Duration took = pull();
    EXPECT_GT(took, seconds(9));
    EXPECT_LT(took, seconds(13));
    EXPECT_GT(replicas_[0]->entropy.counters().questions_put_off, 10u);
}

TEST_F(EntropyPaceTest, QuestionsForDataWaitWhileClientsDoButNotForEver) {
    options_.batch_bytes_max = 20'000;
    const base::Duration alone = pull();
    clients_wait_ = true;
    const base::Duration beside = pull();
    const auto questions = 6;
    EXPECT_GT(beside, alone + (questions - 1) * options_.pause_max);
    EXPECT_LT(beside, alone + (questions + 4) * options_.pause_max);
}

TEST_F(EntropyPaceTest, ItGoesOnAsSoonAsNobodyWaits) {
    clients_wait_ = true;
    loop_.schedule_after(milliseconds(500), [this] { replicas_[0]->clients_wait = false; });
    const base::Duration took = pull();
    EXPECT_GT(took, milliseconds(500));
    EXPECT_LT(took, milliseconds(500) + options_.pause + seconds(1));
}

TEST_F(EntropyPaceTest, ChecksDoNotWait) {
    make(2, 9);
    write_somewhere();
    watch_all();
    ASSERT_TRUE(
        loop_.run_until([&] { return replicas_[0]->entropy.dirty_count() == 0; }, seconds(60)));
    for (const auto& replica : replicas_) {
        replica->clients_wait = true;
    }
    const uint64_t checks = replicas_[0]->entropy.counters().checks_equal;
    loop_.run_for(seconds(60));
    EXPECT_GT(replicas_[0]->entropy.counters().checks_equal, checks + 5);
    EXPECT_EQ(replicas_[0]->entropy.counters().questions_put_off, 0u);
}

TEST_F(EntropyTest, AThousandDifferencesAmongManyKeysCostLittleMoreThanTheirRecords) {
    options_.batch_bytes_max = EntropyOptions().batch_bytes_max;
    make(2, 11);
    const auto key = [](int i) {
        return group_key(base::default_namespace_id, "key" + std::to_string(i));
    };
    for (int i = 0; i < 20'000; ++i) {
        replicas_[0]->groups.write(
            group_a, key(i), replicas_[0]->actor(), std::string(100, 'v'), true);
        replicas_[1]->groups.apply(
            group_a, key(i), replicas_[0]->groups.groups[group_a].records[key(i)]);
    }
    std::string records;
    for (int i = 0; i < 1000; ++i) {
        const std::string& changed = key(i * 19);
        replicas_[0]->groups.write(
            group_a, changed, replicas_[0]->actor(), std::string(100, 'w'), false);
        encode_record(records, replicas_[0]->groups.groups[group_a].records[changed]);
    }
    network_.bytes_sent = 0;
    watch_all();
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
    EXPECT_LT(network_.bytes_sent, 2 * records.size() + (64u << 10));
}

// Records that one of two lost, of many buckets: their frontiers are equal.
TEST_F(EntropyTest, HoweverManyBucketsDifferEachSideIsReadThroughOnce) {
    make(2, 12);
    constexpr size_t keys = 3000;
    for (size_t i = 0; i < keys; ++i) {
        const std::string key = group_key(base::default_namespace_id, "key" + std::to_string(i));
        replicas_[0]->groups.write(group_a, key, replicas_[0]->actor(), "value", true);
        replicas_[1]->groups.apply(group_a, key, replicas_[0]->groups.groups[group_a].records[key]);
    }
    std::array<size_t, 2> left{};
    for (const size_t loser : {0u, 1u}) {
        auto& records = replicas_[loser]->groups.groups[group_a].records;
        for (size_t i = loser; i < keys; i += 7) {
            records.erase(group_key(base::default_namespace_id, "key" + std::to_string(i)));
        }
        left[loser] = records.size();
    }
    size_t largest = 0;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        if (message.has_listing()) largest = std::max(largest, message.ByteSizeLong());
        return true;
    };
    absl::Status outcome = absl::UnknownError("not called");
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = status; });
    ASSERT_TRUE(loop_.run_until([&] { return !absl::IsUnknown(outcome); }, seconds(60)));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->entropy.counters().records_pulled, keys - left[0]);
    EXPECT_EQ(replicas_[0]->groups.records_listed, left[0]);
    EXPECT_EQ(replicas_[1]->groups.records_listed, left[1]);
    EXPECT_LT(largest, 2 * options_.batch_bytes_max);
}

// Key by key many writes, which all pages of their dots name.
struct EntropyHotKeysTest : EntropyTest {
    // Of `replica`, as they travel.
    static size_t record_bytes(Replica& replica) {
        std::string records;
        for (const auto& [key, record] : replica.groups.groups[group_a].records) {
            records += key;
            encode_record(records, record);
        }
        return records.size();
    }
    void write_hot_keys(Replica& at) {
        for (int i = 0; i < 30 * hot_keys; ++i) {
            at.groups.write(
                group_a,
                group_key(base::default_namespace_id, "key" + std::to_string(i % hot_keys)),
                at.actor(),
                std::string(100, 'v'),
                /*is_blind=*/i / hot_keys % 3 != 0);
        }
    }
    static constexpr int hot_keys = 40;
};

TEST_F(EntropyHotKeysTest, ARecordOfWhichManyWritesAreMissingTravelsOnce) {
    make(2, 11);
    write_hot_keys(*replicas_[0]);
    watch_all();
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
    expect_equal_records();
    EXPECT_LT(replicas_[1]->entropy.counters().bytes_pulled, record_bytes(*replicas_[0]) * 3 / 2);
}

TEST_F(EntropyHotKeysTest, ALongKeyThatWasWrittenOftenStandsOnceInAPage) {
    options_.batch_bytes_max = 256 << 10;
    make(2, 11);
    Replica& writer = *replicas_[0];
    const std::string key = group_key(base::default_namespace_id, std::string(64 << 10, 'k'));
    for (int i = 0; i < 500; ++i) {
        writer.groups.write(group_a, key, writer.actor(), "value", /*is_blind=*/false);
    }
    watch_all();
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
    expect_equal_records();
    EXPECT_LT(network_.bytes_sent, 150 * key.size()) << "one in each page of four dots";
}

// A peer whose pages of missing writes are what the test makes them.
struct EntropyHostilePageTest : EntropyTest {
    absl::Status outcome_of(const std::function<void(peer::EntropyMissing&)>& fill) {
        make(2, 8);
        absl::Status outcome =
            outcome_of_pull_from([&](const peer::EntropyMessage&, peer::EntropyMessage& answer) {
                Frontier().encode(*answer.mutable_missing()->mutable_frontier());
                fill(*answer.mutable_missing());
            });
        EXPECT_TRUE(replicas_[0]->groups.groups[group_a].index.empty());
        return outcome;
    }
    void add_dot(peer::EntropyMissing& page, uint64_t sequence, uint32_t key) {
        peer::EntropyIndexedDot& indexed = *page.add_dots();
        put_dot(*indexed.mutable_dot(), Dot{replicas_[1]->actor(), sequence});
        indexed.set_key(key);
    }
};

TEST_F(EntropyHostilePageTest, ADotThatNamesNoKeyOfThePageEndsTheSession) {
    const absl::Status outcome = outcome_of([this](peer::EntropyMissing& page) {
        *page.add_keys() = random_key();
        add_dot(page, 1, 1);
    });
    EXPECT_EQ(outcome.code(), absl::StatusCode::kInvalidArgument) << outcome;
}

TEST_F(EntropyHostilePageTest, ADotThatComesTwiceEndsTheSession) {
    const absl::Status outcome = outcome_of([this](peer::EntropyMissing& page) {
        *page.add_keys() = random_key();
        add_dot(page, 1, 0);
        add_dot(page, 1, 0);
    });
    EXPECT_EQ(outcome.code(), absl::StatusCode::kInvalidArgument) << outcome;
}

TEST_F(EntropyHostilePageTest, DotsOfALongKeyThatWouldTakeTooMuchRoomEndTheSession) {
    const absl::Status outcome = outcome_of([this](peer::EntropyMissing& page) {
        *page.add_keys() = group_key(base::default_namespace_id, std::string(1 << 20, 'k'));
        for (uint64_t sequence = 1; sequence <= 10; ++sequence) {
            add_dot(page, sequence, 0);
        }
    });
    EXPECT_EQ(outcome.code(), absl::StatusCode::kInvalidArgument) << outcome;
}

TEST_F(EntropyHotKeysTest, WhatTwoPeersHaveIsPulledFromOne) {
    make(3, 11);
    write_hot_keys(*replicas_[0]);
    for (const auto& [key, record] : replicas_[0]->groups.groups[group_a].records) {
        replicas_[1]->groups.apply(group_a, key, record);
    }
    replicas_[1]->groups.groups[group_a] = replicas_[0]->groups.groups[group_a];
    watch_all();
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
    expect_equal_records();
    EXPECT_LT(replicas_[2]->entropy.counters().bytes_pulled, record_bytes(*replicas_[0]) * 3 / 2);
}

TEST_F(EntropyTest, AGroupIsDirtyUntilItWasFoundEqualAndAgainAfterAKick) {
    make(2, 3);
    write_somewhere();
    watch_all();
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
    network_.loss = 1;
    replicas_[0]->entropy.kick(replicas_[1]->self);
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    network_.loss = 0;
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
    replicas_[0]->entropy.kick(replicas_[1]->self);
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    replicas_[0]->entropy.set_peers(group_a, {});
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
}

TEST_F(EntropyTest, AReplicaIsBehindUntilItWasComparedAndWhileItPulls) {
    options_.request_timeout = seconds(1);
    make(2, 3);
    replicas_[1]->groups.write(
        group_a, random_key(), replicas_[1]->actor(), std::string(400, 'v'), false);
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(10)));
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a)) << "not compared again yet";
    EXPECT_FALSE(replicas_[1]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));

    // What was written now may be on its way at the first look, and is missing at the second.
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    ASSERT_TRUE(
        loop_.run_until([&] { return replicas_[0]->entropy.is_behind(group_a); }, seconds(10)));
    EXPECT_FALSE(are_equal());
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    EXPECT_TRUE(are_equal());
}

TEST_F(EntropyTest, WhoIsToldThatItMissedAWriteIsBehindAtOnceUntilItHasIt) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 1u);
    ASSERT_TRUE(loop_.run_until([&] { return replicas_[0]->entropy.is_behind(group_a); },
                                milliseconds(20)));
    EXPECT_FALSE(replicas_[1]->entropy.is_behind(group_a));
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, milliseconds(100)));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 0u);
}

// Of a thousand writes that are missed at once it is told once, and again of what came later.
TEST_F(EntropyTest, WhatIsMissedOftenIsToldInOneComparisonInHalfASecond) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    const uint64_t checks_before = replicas_[1]->entropy.counters().checks;
    for (int i = 0; i < 1000; ++i) {
        replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
        replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
        loop_.run_for(milliseconds(2));
    }
    EXPECT_LE(replicas_[1]->entropy.counters().checks - checks_before, 8u);
    loop_.run_for(seconds(10));
    EXPECT_TRUE(are_equal());
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

TEST_F(EntropyTest, WhatWasMissedIsToldUntilItIsHeardAndNotAgain) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    size_t told = 0;
    bool is_heard = false;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        if (message.check().has_missed()) ++told;
        return is_heard;
    };
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
    loop_.run_for(seconds(30));
    const size_t told_in_vain = told;
    EXPECT_GT(told_in_vain, 3u);
    is_heard = true;
    loop_.run_for(seconds(60));
    EXPECT_GT(told, told_in_vain);
    EXPECT_TRUE(are_equal());
    const size_t told_before = told;
    loop_.run_for(seconds(60));
    EXPECT_EQ(told, told_before);
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 0u);
}

// It compares the two itself, and its answer is on its way when the write is missed.
TEST_F(EntropyTest, WhatItMissesDuringAComparisonIsPulledAfterIt) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        make(2, seed);
        watch_all();
        loop_.run_for(seconds(10));
        bool is_missed = false;
        replicas_[1]->filter = [&](const peer::EntropyMessage& message) {
            if (!message.has_check() || std::exchange(is_missed, true)) return true;
            loop_.post([this] {
                replicas_[1]->groups.write(
                    group_a, random_key(), replicas_[1]->actor(), "w", false);
                replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
            });
            return true;
        };
        replicas_[0]->entropy.kick(replicas_[1]->self);
        ASSERT_TRUE(loop_.run_until([&] { return is_missed && !are_equal(); }, seconds(10)));
        EXPECT_TRUE(loop_.run_until([&] { return are_equal(); }, milliseconds(700)));
        loop_.run_for(seconds(10));
        EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    }
}

// After a crash the trees are counted anew, which may take minutes.
TEST_F(EntropyTest, AReplicaIsBehindAsLongAsATreeToCompareIsMissing) {
    for (const size_t rebuilding : {size_t{0}, size_t{1}}) {
        SCOPED_TRACE(rebuilding);
        make(2, 3);
        replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "v", false);
        replicas_[rebuilding]->groups.has_tree = false;
        watch_all();
        loop_.run_for(seconds(20));
        EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
        replicas_[rebuilding]->groups.has_tree = true;
        ASSERT_TRUE(loop_.run_until([&] { return !replicas_[0]->entropy.is_behind(group_a); },
                                    seconds(20)));
        EXPECT_TRUE(are_equal());
    }
}

TEST_F(EntropyTest, NobodyWaitsForAPeerWhoseDataIsDamaged) {
    make(2, 3);
    write_somewhere();
    replicas_[1]->groups.is_damaged = true;
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

// A link was cut for a while: nobody was restarted, and what was taken meanwhile is on one side.
TEST_F(EntropyTest, AReplicaIsBehindAPeerThatIsBackUntilTheyWereCompared) {
    make(2, 3);
    write_somewhere();
    watch_all();
    loop_.run_for(seconds(10));
    network_.loss = 1;
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    network_.loss = 0;
    replicas_[0]->entropy.kick(replicas_[1]->self);
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    ASSERT_TRUE(
        loop_.run_until([&] { return !replicas_[0]->entropy.is_behind(group_a); }, seconds(10)));
    EXPECT_TRUE(are_equal());
}

TEST_F(EntropyTest, AnAnswerThatTakesLongIsWaitedFor) {
    options_.request_timeout = seconds(2);
    make(2, 3);
    // On its way for longer than three times the patience of the first try.
    network_.bytes_per_second = 200;
    replicas_[1]->groups.write(
        group_a, random_key(), replicas_[1]->actor(), std::string(1400, 'v'), false);
    watch_all();
    EXPECT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
}

TEST_F(EntropyTest, WhoIsAskedAgainWhetherItCountsReadsWhatItHasOnce) {
    make(2, 3);
    Replica& asker = *replicas_[0];
    Replica& asked = *replicas_[1];
    const auto ask = [&](uint64_t question) {
        asker.entropy.ask_counting(group_a, asked.self, question, /*checks=*/true);
        loop_.run_for(seconds(1));
    };
    ask(7);
    ask(7);
    EXPECT_EQ(asked.asked_to_count.size(), 1u);
    EXPECT_THAT(asker.told, testing::ElementsAre(std::pair(7, true)));
    ask(8);
    ASSERT_EQ(asked.asked_to_count.size(), 2u) << "another question";
    asked.asked_to_count[0](peer::EntropyCounting());
    loop_.run_for(seconds(1));
    EXPECT_THAT(asker.told, testing::ElementsAre(std::pair(7, true), std::pair(7, false)));
    ask(7);
    EXPECT_EQ(asked.asked_to_count.size(), 3u) << "the answer may be lost";
}

TEST_F(EntropyTest, NobodyStaysBehindAPeerThatIsSilentOrGone) {
    make(2, 3);
    write_somewhere();
    network_.loss = 1;
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    replicas_[0]->entropy.set_peers(group_a, {});
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    replicas_[0]->entropy.set_peers(group_a, {});
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

// More of them than comparisons run at once.
TEST_F(EntropyTest, PeersThatAreSilentHoldUpNoComparisonWithOthers) {
    options_.request_timeout = seconds(2);
    make(2 + options_.sessions_max, 5);
    std::vector<GroupId> groups;
    for (uint16_t partition = 0; partition < 60; ++partition) {
        groups.push_back({.partition = base::PartitionId(partition), .replicas = 3});
    }
    const std::span silent(replicas_.begin() + 2, replicas_.end());
    for (const auto& replica : silent) {
        replica->filter = [](const peer::EntropyMessage&) { return false; };
    }
    for (const GroupId group : groups) {
        for (const auto& replica : replicas_) {
            std::vector<base::NodeId> others;
            for (const auto& other : replicas_) {
                if (other != replica) others.push_back(other->self);
            }
            replica->entropy.set_peers(group, others);
        }
    }
    loop_.run_for(seconds(60));
    for (const GroupId group : groups) {
        EXPECT_FALSE(replicas_[1]->entropy.is_behind(group)) << "no answer is to be waited for";
        replicas_[0]->groups.write(group, random_key(), replicas_[0]->actor(), "v", false);
    }
    const auto has_all = [&](Replica& replica) {
        return std::ranges::all_of(groups, [&](GroupId group) {
            return replica.groups.groups[group].frontier ==
                   replicas_[0]->groups.groups[group].frontier;
        });
    };
    EXPECT_TRUE(loop_.run_until([&] { return has_all(*replicas_[1]); }, seconds(10)));
    for (const auto& replica : silent) {
        EXPECT_FALSE(has_all(*replica));
        replica->filter = nullptr;
    }
    for (const auto& replica : silent) {
        EXPECT_TRUE(loop_.run_until([&] { return has_all(*replica); }, seconds(60)));
    }
}

TEST_F(EntropyTest, ReplicasInStepAreComparedOftenWhileAReportIsAwaited) {
    options_.interval = seconds(60);
    make(2, 8);
    write_somewhere();
    watch_all();
    loop_.run_for(seconds(10));
    const auto checks_in_a_minute = [&] {
        const uint64_t before = replicas_[0]->entropy.counters().checks;
        loop_.run_for(seconds(60));
        return replicas_[0]->entropy.counters().checks - before;
    };
    EXPECT_LE(checks_in_a_minute(), 2u);
    replicas_[0]->are_reports_awaited = true;
    EXPECT_GE(checks_in_a_minute(), 14u);
    replicas_[0]->are_reports_awaited = false;
    EXPECT_LE(checks_in_a_minute(), 2u);
}

TEST_F(EntropyTest, ASeatsCopyTakesItsGroupsAndNoOthers) {
    make(2, 4);
    const GroupId narrow{.partition = group_a.partition, .replicas = 1};
    const std::string key = group_key(base::default_namespace_id, "k");
    replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "three", false);
    replicas_[1]->groups.write(narrow, key, replicas_[1]->actor(), "one", false);
    absl::Status outcome = absl::UnknownError("not called");
    replicas_[0]->entropy.start_partition_sync({.partition = group_a.partition,
                                                .from = replicas_[1]->self,
                                                .seat = base::SeatIndex(1),
                                                .is_copy = true},
                                               [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(1));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].records.size(), 1u);
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].frontier,
              replicas_[1]->groups.groups[group_a].frontier);
    EXPECT_FALSE(replicas_[0]->groups.groups.contains(narrow));
}

TEST_F(EntropyTest, ALargeGroupIsCopiedInPages) {
    make(2, 6);
    for (int i = 0; i < 300; ++i) {
        replicas_[1]->groups.write(group_a,
                                   group_key(base::default_namespace_id, "k" + std::to_string(i)),
                                   replicas_[1]->actor(),
                                   std::string(200, 'x'),
                                   false);
    }
    size_t largest = 0;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        largest = std::max(largest, message.ByteSizeLong());
        return true;
    };
    absl::Status outcome = absl::UnknownError("not called");
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self, .is_copy = true},
        [&](absl::Status status) { outcome = status; });
    loop_.run_for(seconds(5));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
    EXPECT_LT(largest, 3000u);
}

TEST_F(EntropyTest, ACopyThatWasInterruptedGoesOnFromAnotherReplicaWhereItHadCome) {
    make(3, 6);
    for (int i = 0; i < 300; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        replicas_[1]->groups.write(
            group_a, key, replicas_[1]->actor(), std::string(200, 'x'), false);
        replicas_[2]->groups.apply(group_a, key, replicas_[1]->groups.groups[group_a].records[key]);
    }
    replicas_[2]->groups.groups[group_a].frontier = replicas_[1]->groups.groups[group_a].frontier;
    const auto copied = [this] { return replicas_[0]->groups.groups[group_a].records.size(); };
    const auto copy_from = [this](size_t giver, absl::Status& outcome) {
        return replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition,
             .from = replicas_[giver]->self,
             .is_copy = true,
             .is_fill = true},
            [&](absl::Status status) { outcome = std::move(status); });
    };
    absl::Status outcome = absl::UnknownError("not called");
    const uint64_t first = copy_from(1, outcome);
    ASSERT_TRUE(loop_.run_until([&] { return copied() > 150; }, seconds(5)));
    replicas_[0]->entropy.cancel(first);
    loop_.run_for(seconds(1));
    const size_t before = copied();
    ASSERT_LT(before, 250u);
    uint64_t bytes = 0;
    replicas_[2]->filter = [&](const peer::EntropyMessage& message) {
        if (message.has_scanned()) bytes += message.ByteSizeLong();
        return true;
    };
    copy_from(2, outcome);
    loop_.run_for(seconds(5));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(copied(), 300u);
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].copied_up_to, "");
    EXPECT_LT(bytes, (300 - before + 20) * 300);
}

TEST_F(EntropyTest, ACancelledCopyReportsNothing) {
    make(2, 6);
    bool is_called = false;
    const uint64_t sync = replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status) { is_called = true; });
    replicas_[0]->entropy.cancel(sync);
    loop_.run_for(seconds(10));
    EXPECT_FALSE(is_called);
}

TEST_F(EntropyTest, NonsenseFromAPeerEndsTheSessionAndChangesNothing) {
    make(2, 8);
    // Keys that nobody asked for.
    const absl::Status outcome = outcome_of_pull_from(
        [](const peer::EntropyMessage& question, peer::EntropyMessage& answer) {
            if (question.has_missing_ask()) {
                Frontier().encode(*answer.mutable_missing()->mutable_frontier());
            } else if (question.has_summary_ask()) {
                Frontier().encode(*answer.mutable_summary()->mutable_frontier());
                for (size_t i = 0; i < bucket_count; ++i) {
                    answer.mutable_summary()->add_buckets(i == 5 ? 1 : 0);
                }
            } else {
                answer.mutable_listing()->add_keys("not of this bucket");
                answer.mutable_listing()->add_digests(1);
            }
        });
    EXPECT_EQ(outcome.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(replicas_[0]->groups.groups[group_a].records.empty());

    peer::EntropyMessage malformed;
    malformed.set_partition(70000);
    malformed.mutable_fetch();
    replicas_[0]->entropy.on_message(base::NodeId(2), malformed);
    EXPECT_EQ(replicas_[0]->entropy.counters().malformed_messages, 1u);
}

TEST_F(EntropyTest, AQuestionThatCannotBeAnsweredIsAnsweredWithTheReason) {
    make(2, 8);
    replicas_[1]->groups.has_tree = false;
    replicas_[1]->groups.groups[group_a];
    absl::Status outcome;
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status status) { outcome = status; });
    loop_.run_for(milliseconds(40));
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(std::string(outcome.message()).find("rebuilt"), std::string::npos) << outcome;
}

}  // namespace
}  // namespace starling::node
