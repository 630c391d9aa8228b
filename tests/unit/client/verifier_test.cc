// Replicas that the test scripts, look by look.

#include "client/cli/verifier.h"

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/error.h"

namespace starling::client {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t space_id = 1;

std::string group_key(const std::string& key, uint64_t space = space_id) {
    std::string name(8, '\0');
    name[7] = static_cast<char>(space);
    return name + key;
}

v1::Dot dot(uint64_t sequence) {
    v1::Dot made;
    made.set_node_id(77);
    made.set_start(1);
    made.set_sequence(sequence);
    return made;
}

struct FakeWallClock final : env::WallClock {
    base::WallTime wall_now() const override { return now; }
    base::WallTime now{std::chrono::hours(1)};
};

// N = 3, and all partitions alike. A replica holds of each key one version: the sequence of the one
// writer.
class FakeReplicas final : public ReplicaSource {
  public:
    using Keys = std::map<std::string, uint64_t>;

    FakeReplicas() {
        for (const uint64_t node : {11u, 12u, 13u}) {
            holders.push_back(node);
            replicas[node] = {};
        }
    }
    void put(const std::string& key, uint64_t sequence) {
        for (auto& [node, keys] : replicas) {
            keys[group_key(key)] = sequence;
        }
    }

    absl::StatusOr<v1::RingResponse> ring() override {
        ++rings;
        wall_clock.now += std::chrono::milliseconds(1);
        v1::RingResponse answer;
        for (uint32_t number = 0; number < partition_count; ++number) {
            v1::RingPartition& partition = *answer.add_partitions();
            partition.set_partition(number);
            for (const uint64_t node : holders) {
                partition.add_holders(node);
            }
        }
        return answer;
    }
    absl::StatusOr<v1::InspectReplicaResponse> inspect(
        uint64_t node, const v1::InspectReplicaRequest& request) override {
        ++questions;
        if (errors.contains(node)) {
            return errors[node];
        }
        question_bytes_max = std::max(question_bytes_max, request.ByteSizeLong());
        const Keys& keys = replicas[node];
        v1::InspectReplicaResponse answer;
        if (request.keys_size() > 0) {
            for (const v1::InspectedKeyQuestion& asked : request.keys()) {
                if (asked.seen_size() > 4096) {
                    return absl::InvalidArgumentError("keys.seen: the limit is 4096");
                }
                if (answer.keys_size() == static_cast<int>(answered_keys_max)) break;
                fill(*answer.add_keys(), keys, asked);
            }
        } else if (!request.buckets().empty()) {
            EXPECT_TRUE(lists_asked.insert({request.partition(), node, request.after()}).second);
            list(answer, keys, request);
            if (node == is_stuck && !request.after().empty()) {
                answer.clear_keys();
                answer.set_up_to(request.after());
            }
        } else {
            for (int bucket = 0; bucket < 2; ++bucket) {
                const auto kept = sums.find({node, bucket});
                answer.add_buckets(kept == sums.end() ? sum(keys, bucket) : kept->second);
            }
            answer.set_frontier(frontier_of(node));
            for (const std::string& frontier : request.frontiers()) {
                answer.add_has_seen(std::includes(
                    seen[node].begin(), seen[node].end(), frontier.begin(), frontier.end()));
            }
        }
        return answer;
    }
    void pause(base::Duration duration) override {
        ++pauses;
        wall_clock.now += duration;
        if (on_pause) {
            on_pause(pauses);
        }
    }

    // The digests of buckets stay as they are now.
    void keep_sums() {
        for (const auto& [node, keys] : replicas) {
            for (int bucket = 0; bucket < 2; ++bucket)
                sums[{node, bucket}] = sum(keys, bucket);
        }
    }

    uint32_t partition_count = 1;
    std::map<std::pair<uint64_t, int>, uint64_t> sums;
    std::vector<uint64_t> holders;
    std::map<uint64_t, Keys> replicas;
    // Writes by name; those of tombstones are in no digest.
    std::map<uint64_t, std::set<char>> seen;
    std::map<uint64_t, absl::Status> errors;
    // Digests that are not what the sequence says.
    std::map<std::pair<uint64_t, std::string>, uint64_t> odd_digests;
    // Lives of nodes that have written a key, beside the one writer of all.
    std::map<std::string, uint32_t> more_writers;
    std::function<void(int)> on_pause;
    // Keys read for one page.
    size_t page_keys = 2;
    // Of those asked for by name.
    size_t answered_keys_max = 256;
    FakeWallClock wall_clock;
    // Partition, node, and where the page began.
    std::set<std::tuple<uint32_t, uint64_t, std::string>> lists_asked;
    // Its lists end with their first page, and say that there is more.
    uint64_t is_stuck = 0;
    int pauses = 0;
    int rings = 0;
    int questions = 0;
    size_t question_bytes_max = 0;

  private:
    std::string frontier_of(uint64_t node) { return {seen[node].begin(), seen[node].end()}; }
    static int bucket_of(const std::string& key) { return static_cast<uint8_t>(key.back()) % 2; }
    uint64_t sum(const Keys& keys, int bucket) const {
        uint64_t total = 0;
        for (const auto& [key, sequence] : keys) {
            total += bucket_of(key) == bucket ? digest(keys, key) * 1000 + key.size() : 0;
        }
        return total;
    }
    uint64_t digest(const Keys& keys, const std::string& key) const {
        for (const auto& [node, held] : replicas) {
            const auto odd = odd_digests.find({node, key});
            if (&held == &keys && odd != odd_digests.end()) {
                return odd->second;
            }
        }
        const auto found = keys.find(key);
        return found == keys.end() ? 0 : found->second;
    }
    void fill(v1::InspectedKey& out,
              const Keys& keys,
              const v1::InspectedKeyQuestion& asked) const {
        out.set_key(asked.key());
        out.set_digest(digest(keys, asked.key()));
        const auto found = keys.find(asked.key());
        const uint64_t sequence = found == keys.end() ? 0 : found->second;
        if (sequence > 0) {
            *out.add_context() = dot(sequence);
            *out.add_versions()->mutable_dot() = dot(sequence);
        }
        const auto more = more_writers.find(asked.key());
        for (uint32_t life = 0; more != more_writers.end() && life < more->second; ++life) {
            v1::Dot& other = *out.add_context();
            other = dot(1);
            other.set_start(2 + life);
        }
        out.set_reflects_seen(asked.seen().empty() || asked.seen(0).sequence() <= sequence);
    }
    void list(v1::InspectReplicaResponse& answer,
              const Keys& keys,
              const v1::InspectReplicaRequest& request) const {
        size_t read = 0;
        for (auto entry = keys.upper_bound(request.after()); entry != keys.end(); ++entry) {
            if (read++ == page_keys) {
                answer.set_up_to(std::prev(entry)->first);
                return;
            }
            if ((request.buckets().at(0) >> bucket_of(entry->first) & 1) != 0) {
                v1::InspectedKey& listed = *answer.add_keys();
                listed.set_key(entry->first);
                listed.set_digest(digest(keys, entry->first));
            }
        }
    }
};

class VerifierTest : public testing::Test {
  protected:
    VerifyReport verify(VerifyOptions options = {}) {
        v1::Namespace space;
        space.set_id(space_id);
        space.set_name("default");
        space.set_replicas(3);
        options.namespaces = {space};
        Verifier verifier(std::move(options), replicas, replicas.wall_clock);
        auto report = verifier.run();
        EXPECT_TRUE(report.ok()) << report.status();
        return report.ok() ? *std::move(report) : VerifyReport{};
    }
    // By node, whether it lacks a write; of the only difference.
    std::map<uint64_t, bool> lacking(const VerifyReport& report) {
        std::map<uint64_t, bool> found;
        EXPECT_EQ(report.differences.size(), 1u);
        for (const Copy& copy : report.differences.at(0).copies) {
            found[copy.node] = !copy.state.reflects_seen();
        }
        return found;
    }

    // By node, the others whose writes it lacks.
    static std::map<uint64_t, std::vector<uint64_t>> behind(const VerifyReport& report) {
        std::map<uint64_t, std::vector<uint64_t>> found;
        for (const BehindReplica& replica : report.behind) {
            found[replica.node] = replica.others;
        }
        return found;
    }

    FakeReplicas replicas;
};

TEST_F(VerifierTest, EqualReplicasNeedOneQuestionEachAndNoPause) {
    for (int i = 0; i < 100; ++i) {
        replicas.put("key " + std::to_string(i), 5);
    }
    const VerifyReport report = verify();
    EXPECT_TRUE(report.is_equal());
    EXPECT_EQ(replicas.questions, 3);
    EXPECT_EQ(replicas.pauses, 0);
}

TEST_F(VerifierTest, AReplicaThatLacksAWriteAfterThePauseIsNamedWithItsKey) {
    for (int i = 0; i < 20; ++i) {
        replicas.put("key " + std::to_string(i), 5);
    }
    replicas.replicas[12][group_key("key 7")] = 4;
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 1u);
    EXPECT_EQ(replicas.pauses, 1);
    ASSERT_THAT(report.differences, SizeIs(1));
    EXPECT_EQ(report.differences[0].key, "key 7");
    EXPECT_EQ(report.differences[0].name_space, "default");
    EXPECT_EQ(lacking(report), (std::map<uint64_t, bool>{{11, false}, {12, true}, {13, false}}));
    EXPECT_FALSE(report.is_equal());
}

// The digests that the node keeps do not know of it.
TEST_F(VerifierTest, WhatADiskHasLostSilentlyIsFoundWhereAllIsRead) {
    for (int i = 0; i < 20; ++i) {
        replicas.put("key " + std::to_string(i), 5);
    }
    replicas.keep_sums();
    replicas.replicas[12].erase(group_key("key 7"));
    EXPECT_TRUE(verify().is_equal());
    replicas.lists_asked.clear();
    const VerifyReport report = verify({.reads_all = true});
    EXPECT_EQ(report.difference_count, 1u);
    EXPECT_EQ(lacking(report), (std::map<uint64_t, bool>{{11, false}, {12, true}, {13, false}}));
    replicas.lists_asked.clear();
    replicas.put("key 7", 5);
    EXPECT_TRUE(verify({.reads_all = true}).is_equal());
    EXPECT_THAT(replicas.lists_asked, SizeIs(3 * 10)) << "pages";
}

TEST_F(VerifierTest, ItSpeaksOfTheMomentBeforeItsFirstLook) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    const base::WallTime before = replicas.wall_clock.now;
    const VerifyReport report = verify();
    EXPECT_GT(replicas.wall_clock.now, before + std::chrono::seconds(3));
    EXPECT_EQ(report.as_of, before);
}

TEST_F(VerifierTest, AllBucketsThatDifferAreListedInOnePassOverEachReplica) {
    for (int i = 0; i < 20; ++i) {
        replicas.put("key " + std::to_string(10 + i), 5);
    }
    for (const char* key : {"key 12", "key 15", "key 16", "key 29"}) {
        replicas.replicas[12].erase(group_key(key));
    }
    replicas.page_keys = 3;
    EXPECT_EQ(verify().difference_count, 4u);
    // 20 keys, 16 and 20 of them.
    EXPECT_THAT(replicas.lists_asked, SizeIs(7 + 6 + 7));
}

TEST_F(VerifierTest, OnceEnoughKeysDifferTheRestIsNotListedAndThatIsSaid) {
    replicas.partition_count = 9;
    for (int i = 0; i < 20; ++i) {
        replicas.put("key " + std::to_string(10 + i), 5);
    }
    for (auto& [key, sequence] : replicas.replicas[12]) {
        sequence = 4;
    }
    const VerifyReport report = verify({.suspects_max = 5});
    EXPECT_EQ(report.difference_count, 6u) << "the page that had the fifth is compared";
    EXPECT_THAT(report.unchecked,
                ElementsAre(HasSubstr("partition 0: not all of its keys"),
                            HasSubstr("partition 1 and those after it")));
    EXPECT_EQ(report.groups, 1u);
    EXPECT_THAT(replicas.lists_asked, SizeIs(9));
}

TEST_F(VerifierTest, AQuestionAboutLongKeysFitsTheLeastMessageThatANodeTakes) {
    const std::string prefix(size_t{60} << 10, 'k');
    for (int i = 0; i < 64; ++i) {
        replicas.put(prefix + std::to_string(10 + i), 5);
    }
    for (auto& [key, sequence] : replicas.replicas[12]) {
        sequence = 4;
    }
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 64u);
    EXPECT_THAT(report.unchecked, IsEmpty());
    EXPECT_LE(replicas.question_bytes_max, size_t{256} << 10);
}

TEST_F(VerifierTest, OfWhatANodeDoesNotAnswerAtOnceItIsAskedForTheRest) {
    for (const char* key : {"a", "b", "c", "d", "e"}) {
        replicas.put(key, 5);
        replicas.replicas[12][group_key(key)] = 4;
    }
    replicas.answered_keys_max = 2;
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 5u);
    EXPECT_THAT(report.unchecked, IsEmpty());
}

TEST_F(VerifierTest, ANodeThatAnswersForNoKeyIsNotAskedForEver) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.answered_keys_max = 0;
    EXPECT_THAT(verify().unchecked, Contains(HasSubstr("answers for other keys")));
}

TEST_F(VerifierTest, AKeyOfMoreWritersThanCanBeAskedForIsSaidNotToBeChecked) {
    for (const char* key : {"few", "many", "most"}) {
        replicas.put(key, 5);
        replicas.replicas[12][group_key(key)] = 4;
    }
    replicas.more_writers = {{group_key("most"), 4095}, {group_key("many"), 4096}};
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 2u);
    EXPECT_THAT(report.unchecked,
                ElementsAre("partition 0: key many: its copies know of writes of 4097 lives of "
                            "nodes, and 4096 at most can be asked for"));
}

TEST_F(VerifierTest, AReplicaWhoseListDoesNotGoOnIsNotComparedFurther) {
    for (int i = 0; i < 20; ++i) {
        replicas.put("key " + std::to_string(10 + i), 5);
    }
    replicas.replicas[12][group_key("key 11")] = 4;
    replicas.replicas[13][group_key("key 29")] = 4;
    replicas.is_stuck = 12;
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 2u);
    EXPECT_THAT(report.unchecked, ElementsAre(HasSubstr("does not go on")));
}

TEST_F(VerifierTest, AKeyThatOneReplicaDoesNotHaveAtAllIsADifference) {
    replicas.put("k", 5);
    replicas.replicas[13].clear();
    EXPECT_EQ(lacking(verify()), (std::map<uint64_t, bool>{{11, false}, {12, false}, {13, true}}));
}

TEST_F(VerifierTest, AWriteThatArrivesInThePauseIsNoDifference) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.on_pause = [this](int) { replicas.put("k", 5); };
    const VerifyReport report = verify();
    EXPECT_TRUE(report.is_equal());
    EXPECT_EQ(report.keys_looked_at, 1u);
}

TEST_F(VerifierTest, AReplicaThatIsAlwaysOneBehindButCatchesUpEachTimeIsNotAccused) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.on_pause = [this](int pause) {
        replicas.put("k", 5 + static_cast<uint64_t>(pause));
        replicas.replicas[12][group_key("k")] = 4 + static_cast<uint64_t>(pause);
        if (pause == 3) {
            replicas.put("k", 9);
        }
    };
    EXPECT_TRUE(verify().is_equal());
    EXPECT_EQ(replicas.pauses, 3);
}

TEST_F(VerifierTest, AKeyThatNeverComesToRestIsSaidNotToBeChecked) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.on_pause = [this](int pause) {
        replicas.put("k", 5 + static_cast<uint64_t>(pause));
        replicas.replicas[12][group_key("k")] = 4 + static_cast<uint64_t>(pause);
    };
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 0u);
    EXPECT_THAT(report.unchecked, ElementsAre(HasSubstr("being written")));
    EXPECT_FALSE(report.is_equal());
}

TEST_F(VerifierTest, RecordsThatHaveSeenTheSameAndAreNotEqualAreADifference) {
    replicas.put("k", 5);
    replicas.odd_digests[{12, group_key("k")}] = 99;
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 1u);
    EXPECT_EQ(lacking(report), (std::map<uint64_t, bool>{{11, false}, {12, false}, {13, false}}));
}

TEST_F(VerifierTest, KeysOfNamespacesThatWereNotAskedForAreNotLookedAt) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("other", 9)] = 4;
    const VerifyReport report = verify();
    EXPECT_TRUE(report.is_equal());
    EXPECT_EQ(report.keys_looked_at, 0u);
}

TEST_F(VerifierTest, ANodeThatDoesNotAnswerIsNamedOnceAndTheOthersAreCompared) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.errors[13] = absl::UnavailableError("cannot be reached");
    const VerifyReport report = verify();
    EXPECT_EQ(report.difference_count, 1u);
    EXPECT_THAT(report.unchecked,
                ElementsAre("node 000000000000000d cannot be checked: cannot be reached"));
}

TEST_F(VerifierTest, WhatIsNotListedIsCounted) {
    replicas.partition_count = 1003;
    replicas.holders = {11, 0, 13};
    for (const char* key : {"a", "b", "c"}) {
        replicas.put(key, 5);
    }
    for (auto& [key, sequence] : replicas.replicas[13]) {
        sequence = 4;
    }
    const VerifyReport report = verify({.differences_max = 1000});
    EXPECT_THAT(report.differences, SizeIs(1000));
    EXPECT_EQ(report.difference_count, 3u * 1003u);
    EXPECT_THAT(report.unchecked, SizeIs(1000));
    EXPECT_EQ(report.unchecked_count, 1003u);
}

TEST_F(VerifierTest, WhatIsMetTwiceAndNotCheckedCountsOnce) {
    replicas.put("k", 5);
    replicas.replicas[12][group_key("k")] = 4;
    replicas.errors[13] = absl::InternalError("no");
    const VerifyReport report = verify();
    EXPECT_THAT(report.unchecked, SizeIs(1));
    EXPECT_EQ(report.unchecked_count, 1u);
}

TEST_F(VerifierTest, AReplicaThatLacksADeleteWhichNoDigestShowsIsNamed) {
    replicas.put("k", 5);
    replicas.seen = {{11, {'a', 'b'}}, {12, {'a', 'b'}}, {13, {'a'}}};
    const VerifyReport report = verify();
    EXPECT_THAT(replicas.lists_asked, IsEmpty());
    EXPECT_EQ(report.difference_count, 0u);
    EXPECT_EQ(behind(report), (std::map<uint64_t, std::vector<uint64_t>>{{13, {11, 12}}}));
    EXPECT_TRUE(report.is_different());
    EXPECT_FALSE(report.is_equal());
}

TEST_F(VerifierTest, AWriteThatWasUnderWayIsNoDifferenceAndNeitherIsALaterOne) {
    replicas.seen = {{11, {'a', 'b'}}, {12, {'a'}}, {13, {'a', 'c'}}};
    replicas.on_pause = [this](int) {
        replicas.seen = {{11, {'a', 'b', 'c', 'd'}}, {12, {'a', 'b', 'c'}}, {13, {'a', 'b', 'c'}}};
    };
    EXPECT_TRUE(verify().is_equal());
    EXPECT_EQ(replicas.pauses, 1);
}

TEST_F(VerifierTest, WhatAReplicaHasLostSinceIsNotMissedElsewhere) {
    replicas.seen = {{11, {'a', 'b'}}, {12, {'a'}}, {13, {'a'}}};
    replicas.on_pause = [this](int) { replicas.seen[11] = {'a'}; };
    const VerifyReport report = verify();
    EXPECT_FALSE(report.is_different());
    EXPECT_THAT(report.unchecked, ElementsAre(HasSubstr("no longer has all")));
}

TEST_F(VerifierTest, ANodeThatFallsSilentInThePauseAccusesNobody) {
    replicas.seen = {{11, {'a', 'b'}}, {12, {'a'}}, {13, {'a'}}};
    replicas.on_pause = [this](int) { replicas.errors[11] = absl::UnavailableError("gone"); };
    const VerifyReport report = verify();
    EXPECT_FALSE(report.is_different());
    EXPECT_THAT(report.unchecked, ElementsAre(HasSubstr("gone")));
}

TEST_F(VerifierTest, ASeatThatMovesMeanwhileIsAskedForAgain) {
    replicas.put("k", 5);
    replicas.errors[13] =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "no seat");
    replicas.replicas[14] = replicas.replicas[13];
    replicas.on_pause = [this](int) { replicas.holders = {11, 12, 14}; };
    EXPECT_TRUE(verify().is_equal());
    EXPECT_EQ(replicas.rings, 2);
}

TEST_F(VerifierTest, ASeatThatNobodyHoldsAndTooFewCopiesAreSaid) {
    replicas.put("k", 5);
    replicas.holders = {11, 0, 13};
    VerifyReport report = verify();
    EXPECT_THAT(report.unchecked, ElementsAre(HasSubstr("nobody is known to hold 1 of its seats")));
    EXPECT_EQ(report.copies_min, 2u);
    replicas.holders = {11, 11, 11};
    report = verify();
    EXPECT_THAT(report.unchecked, IsEmpty());
    EXPECT_EQ(report.groups_short, 1u);
    EXPECT_EQ(report.copies_min, 1u);
    EXPECT_FALSE(report.is_equal());
}

}  // namespace
}  // namespace starling::client
