#pragma once

// A loop, a network and replicas without threads, disks or real time, for the tests of anti-entropy
// and hand-over.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/runtime.h"
#include "node/replica/group_access.h"
#include "node/version/record.h"

namespace starling::node {

class FakeLoop final : public env::EventLoop {
  public:
    base::MonotonicTime now() const override { return now_; }
    void post(env::Task task) override { schedule_after(base::Duration::zero(), std::move(task)); }
    env::TimerId schedule_after(base::Duration delay, env::Task task) override;
    bool cancel(env::TimerId timer) override;
    bool in_loop() const override { return true; }

    // Runs all that is due within `span`.
    void run_for(base::Duration span);
    // Runs one task; false when there is none.
    bool run_one(base::MonotonicTime until);
    bool run_until(const std::function<bool()>& is_done, base::Duration limit);

  private:
    base::MonotonicTime now_{};
    env::TimerId last_timer_ = 0;
    std::map<std::pair<base::MonotonicTime, env::TimerId>, env::Task> tasks_;
    std::map<env::TimerId, base::MonotonicTime> dues_;
};

class FakeRandom final : public env::Random {
  public:
    explicit FakeRandom(uint64_t seed) : state_(seed) {}
    uint64_t next() override;
    bool chance(double probability) {
        return below(1'000'000) < static_cast<uint64_t>(probability * 1e6);
    }

  private:
    uint64_t state_;
};

// Delivers each message after a random time, so in any order, perhaps twice or not at all.
class FakeNetwork {
  public:
    using Handler = std::function<void(base::NodeId from, const std::string& bytes)>;

    FakeNetwork(FakeLoop& loop, FakeRandom& random) : loop_(loop), random_(random) {}
    void connect(base::NodeId node, Handler handler) { handlers_[node] = std::move(handler); }
    void disconnect(base::NodeId node) { handlers_.erase(node); }
    void send(base::NodeId from, base::NodeId to, std::string bytes);

    double loss = 0;
    double duplication = 0;
    base::Duration delay_max = std::chrono::milliseconds(2);
    // Of one message, whatever else is on its way; 0: it takes no time.
    int64_t bytes_per_second = 0;
    uint64_t bytes_sent = 0;
    uint64_t messages_sent = 0;

  private:
    FakeLoop& loop_;
    FakeRandom& random_;
    std::map<base::NodeId, Handler> handlers_;
};

// Of a node that tells nothing of itself.
class PlainEntropyHost : public EntropyHost {
  public:
    bool do_clients_wait() override { return clients_wait; }
    void report(GroupId, base::NodeId, ReportDone done) override { done(peer::EntropyReport()); }
    void reported(GroupId, base::NodeId, const Frontier&, const peer::EntropyReport&) override {}
    bool awaits_report(GroupId, base::NodeId) override {
        if (on_look) on_look();
        return are_reports_awaited;
    }
    void hints_gone(GroupId, HintsGoneDone done) override { done(peer::EntropyHintsGone()); }
    void told_hints_gone(GroupId, base::NodeId, const peer::EntropyHintsGone&) override {}
    bool is_owner(GroupId) override { return owns_groups; }
    bool is_fenced_for(base::PartitionId, base::SeatIndex, base::NodeId) override { return true; }
    void lacks_what_all_had_seen(GroupId) override {
        ++losses_noticed;
        if (on_loss) on_loss();
    }
    std::optional<peer::EntropyRemembered> remembered(GroupId,
                                                      base::NodeId,
                                                      const peer::EntropyRememberedAsk&) override {
        return peer::EntropyRemembered();
    }
    void told_remembered(GroupId, base::NodeId, const peer::EntropyRemembered&) override {}
    void counting(GroupId, bool, CountingDone done) override { done(peer::EntropyCounting()); }
    void told_counting(GroupId, base::NodeId, uint64_t, const peer::EntropyCounting&) override {}

    bool owns_groups = true;
    int losses_noticed = 0;
    std::function<void()> on_loss;
    bool clients_wait = false;
    bool are_reports_awaited = false;
    std::function<void()> on_look;

  protected:
    ~PlainEntropyHost() = default;
};

// A replica on std::map. What is merged is durable at once; callbacks come later, in any order.
class FakeGroups final : public GroupAccess {
  public:
    struct Group {
        std::map<std::string, Record> records;
        Frontier frontier;
        // Of all dots that were ever seen.
        std::map<Dot, std::string> index;
        std::string copied_up_to;
    };

    FakeGroups(FakeLoop& loop, FakeRandom& random) : loop_(loop), random_(random) {}

    // A write by `actor` that supersedes what is here (or nothing), applied here. Returns its dot.
    Dot write(GroupId group,
              const std::string& key,
              const Actor& actor,
              const std::string& value,
              bool is_blind);
    // As a replica gets it from a coordinator.
    void apply(GroupId group, const std::string& key, const Record& record);
    void drop(base::PartitionId partition, uint8_t replicas_max);

    uint64_t drop_count(GroupId group) const override {
        uint64_t count = 0;
        for (const auto& [dropped, times] : drops) {
            const bool is_any = group.replicas == 0 && dropped.partition == group.partition;
            if (is_any || dropped == group) count += times;
        }
        return count;
    }
    std::vector<GroupId> groups_of(base::PartitionId partition) override;
    absl::StatusOr<GroupSummary> summary(GroupId group) override;
    void list_buckets(GroupId group,
                      const BucketSet& buckets,
                      std::string after,
                      size_t bytes_max,
                      Callback<ListingPage> done) override;
    void fetch(GroupId group,
               std::vector<std::string> keys,
               Callback<std::vector<KeyRecord>> done) override;
    void scan(GroupId group, KeyRange range, size_t bytes_max, Callback<ScanPage> done) override;
    uint64_t change_count(GroupId group) const override;
    void missing(GroupId group,
                 const Frontier& seen,
                 KnownDots known,
                 std::optional<Dot> after,
                 size_t bytes_max,
                 RecordFingerprints sent,
                 Callback<MissingPage> done) override;
    void merge_records(GroupId group,
                       std::vector<KeyRecord> records,
                       IndexedDots dots,
                       Done done) override;
    void copy_records(GroupId group,
                      std::vector<KeyRecord> records,
                      std::string up_to,
                      Done done) override;
    std::string copied_up_to(GroupId group) override { return groups[group].copied_up_to; }
    void take_over(GroupId group,
                   std::vector<std::string> keys,
                   std::vector<KeyRecord> records,
                   const Frontier& seen,
                   Done done) override;
    void unite_frontier(GroupId group, Frontier frontier, Done done) override;

    std::map<GroupId, Group> groups;
    std::map<GroupId, uint64_t> drops;
    // For one page of list_buckets(), and for all of them.
    size_t records_read_max = 200;
    size_t records_listed = 0;
    // While false, summary() is unavailable.
    bool has_tree = true;
    // Called once.
    std::function<void()> before_unite;
    // summary() is data_loss.
    bool is_damaged = false;

  private:
    void later(env::Task task);

    FakeLoop& loop_;
    FakeRandom& random_;
    std::map<std::pair<GroupId, Actor>, uint64_t> minted_;
    Lifeline lifeline_;
};

}  // namespace starling::node
