#include "node/entropy/entropy.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/node/entropy/rig.h"

namespace starling::node {
namespace {

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
    EXPECT_TRUE(absl::IsUnavailable(outcome_of_pull(seconds(5))));
    auto& group = replicas_[0]->groups.groups[group_a];
    EXPECT_GE(group.records.size(), 1u);
    EXPECT_LT(group.records.size(), 100u);
    expect_frontiers_reflected();
    EXPECT_NE(group.frontier, replicas_[1]->groups.groups[group_a].frontier);

    replicas_[0]->filter = nullptr;
    const absl::Status outcome = outcome_of_pull(seconds(20));
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
    EXPECT_FALSE(outcome_of_pull(seconds(20)).ok());
    EXPECT_GE(replicas_[0]->entropy.counters().records_pulled, 1u);
    EXPECT_LT(replicas_[0]->entropy.counters().records_pulled, 100u);
    expect_frontiers_reflected();
    replicas_[0]->filter = nullptr;
    EXPECT_TRUE(outcome_of_pull(seconds(20)).ok());
    EXPECT_TRUE(are_equal());
    // One whose two writes lie in two pages may come with both.
    EXPECT_LE(replicas_[0]->entropy.counters().records_pulled, 102u);
}

TEST_F(EntropyTest, WhatAllOwnersHadSeenAndIsMissingHereIsALossAndIsNotPassedOver) {
    make_two_of_which_one_lost_what_all_had_seen();
    absl::Status outcome = outcome_of_pull(seconds(20));
    EXPECT_TRUE(absl::IsDataLoss(outcome)) << outcome;
    EXPECT_EQ(replicas_[0]->losses_noticed, 1);
    replicas_[0]->owns_groups = false;
    replicas_[0]->groups.groups[group_a] = {};
    outcome = outcome_of_pull(seconds(20));
    EXPECT_TRUE(outcome.ok()) << "who has given its seat away was none of them: " << outcome;
    replicas_[0]->owns_groups = true;
    replicas_[0]->groups.groups[group_a] = {};
    outcome = outcome_of_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self, .is_fill = true}, seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
}

// A disk that was set back, and nobody remembers what it had told: the seal must not come before
// the value, which would be refused from then on.
TEST_F(EntropyTest, ASealIsTakenOverWithWhatIsMissingOfItsLife) {
    make(2, 3);
    const std::string key = group_key(base::default_namespace_id, "k");
    replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false);
    FakeGroups::Group& other = replicas_[1]->groups.groups[group_a];
    other.index.clear();
    const Actor ended = replicas_[1]->actor();
    other.frontier.seal(ended.node, ended.start + 1);
    replicas_[0]->entropy.set_peers(group_a, {replicas_[1]->self});
    loop_.run_for(seconds(30));
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].frontier, other.frontier);
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].records[key].siblings.size(), 1u);
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
        return outcome_of_pull(seconds(20));
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
        replicas_[1] = std::make_unique<EntropyReplica>(peer, loop_, random_, network_, options_);
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
    static size_t record_bytes(EntropyReplica& replica) {
        std::string records;
        for (const auto& [key, record] : replica.groups.groups[group_a].records) {
            records += key;
            encode_record(records, record);
        }
        return records.size();
    }
    void write_hot_keys(EntropyReplica& at) {
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
    EntropyReplica& writer = *replicas_[0];
    const std::string key = group_key(base::default_namespace_id, std::string(64 << 10, 'k'));
    for (int i = 0; i < 500; ++i) {
        writer.groups.write(group_a, key, writer.actor(), "value", /*is_blind=*/false);
    }
    watch_all();
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(60)));
    expect_equal_records();
    EXPECT_LT(network_.bytes_sent, 150 * key.size()) << "one in each page of four dots";
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
    EntropyReplica& asker = *replicas_[0];
    EntropyReplica& asked = *replicas_[1];
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
    const absl::Status outcome = outcome_of_pull(milliseconds(40));
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(std::string(outcome.message()).find("rebuilt"), std::string::npos) << outcome;
}

}  // namespace
}  // namespace starling::node
