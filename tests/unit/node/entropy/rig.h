#pragma once

// Some replicas of one group whose anti-entropy runs on a loop and a network of the test's, and all
// that was ever written to them.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "node/entropy/entropy.h"
#include "tests/unit/node/entropy/fakes.h"

namespace starling::node {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr GroupId group_a{.partition = base::PartitionId(7), .replicas = 3};

class EntropyReplica final : public PlainEntropyHost {
  public:
    EntropyReplica(base::NodeId id,
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
    ~EntropyReplica() { network_.disconnect(self); }
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

class EntropyTest : public testing::Test {
  protected:
    void make(size_t count, uint64_t seed) {
        replicas_.clear();
        written_.clear();
        random_ = FakeRandom(seed);
        for (uint64_t i = 1; i <= count; ++i) {
            replicas_.push_back(std::make_unique<EntropyReplica>(
                base::NodeId(i), loop_, random_, network_, options_));
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
        EntropyReplica& at = *replicas_[random_.below(replicas_.size())];
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
    // What it ends with at the first replica, within `span`.
    absl::Status outcome_of_sync(const PartitionSyncRequest& request, base::Duration span) {
        absl::Status outcome = absl::UnknownError("not ended");
        const uint64_t sync = replicas_[0]->entropy.start_partition_sync(
            request, [&](absl::Status status) { outcome = std::move(status); });
        loop_.run_for(span);
        replicas_[0]->entropy.cancel(sync);
        return outcome;
    }
    // Of all that the first replica lacks, from the second.
    absl::Status outcome_of_pull(base::Duration span) {
        return outcome_of_sync({.partition = group_a.partition, .from = replicas_[1]->self}, span);
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
        return outcome_of_pull(seconds(5));
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
    std::vector<std::unique_ptr<EntropyReplica>> replicas_;
    std::vector<std::pair<std::string, Dot>> written_;
};

}  // namespace starling::node
