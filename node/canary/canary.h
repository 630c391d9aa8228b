#pragma once

// Writes, reads and deletes keys of its own, as a client would, for ever and slowly, and counts the
// promises of docs/guarantees.md that it finds broken. So whoever runs a cluster learns from a
// metric what else only a user would notice.
//
// One key for each partition, by turns, in a namespace of the canaries; one operation at a time. It
// judges only what is promised: majority reads, and majority writes without stand-ins
// (canary_key.h). A node that is alone in its cluster writes nothing: it may be about to join
// another one, and only a node without data can.
//
// Owned by its loop.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "env/clock.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/api.h"
#include "node/canary/canary_key.h"

namespace starling::node {

struct CanaryOptions {
    // From the end of one operation to the next.
    base::Duration interval = std::chrono::seconds(1);
    uint32_t partition_count = 1;
    // N of the namespace, if this canary is the one that makes it.
    uint32_t replicas = 3;
    // A write that failed may come to exist for so long: beyond the age at which every node refuses
    // its request id.
    base::Duration doubt = std::chrono::minutes(2);
    // How much longer than the member before it each one waits for another to make the namespace:
    // time for it to be heard of.
    base::Duration patience = std::chrono::seconds(10);
};

struct CanaryCounts {
    uint64_t operations = 0;
    // Those that were refused or not answered in time: no promise was broken.
    uint64_t failed = 0;
    uint64_t lost_writes = 0;
    uint64_t deleted_returned = 0;
    uint64_t stale_reads = 0;
};

inline constexpr std::string_view canary_namespace = "starling.canary";

class Canary {
  public:
    struct Environment {
        KvService& kv;
        AdminService& admin;
        env::EventLoop& loop;
        env::Random& random;
        const env::WallClock& wall_clock;
        // Where a broken promise is told, and that there is no namespace yet; may be null.
        std::function<void(std::string_view severity, std::string_view line)> log;
    };

    // `self` names its keys: no two canaries have one in common.
    Canary(CanaryOptions options, base::NodeId self, Environment environment);
    ~Canary();
    Canary(const Canary&) = delete;
    Canary& operator=(const Canary&) = delete;

    void start();
    // No operation begins afterwards; the answer to one under way is ignored.
    void stop();
    const CanaryCounts& counts() const { return counts_; }
    // False: it has nothing to write to yet.
    bool has_namespace() const { return !namespace_.empty(); }

  private:
    void schedule();
    void step();
    // Learns the namespace's id and N, and makes it if there is none.
    void look_around();
    // `rank`: how many members come before this one to make it.
    void find_namespace(uint32_t rank);
    void make_namespace();
    // Says so, once, when there has been none for long.
    void note_no_namespace(const std::string& why);
    // A clock that was far ahead names no more writes; see created_ms_.
    void look_at_clock();
    void write(CanaryKey& key, bool is_remove);
    void read(CanaryKey& key);
    void note_read(CanaryKey& key, const absl::StatusOr<GetResult>& result);
    void note_failure(const absl::Status& status);
    void tell(const CanaryKey& key, BrokenPromise promise, const std::vector<std::string>& found);
    CanaryKey& key_of(uint32_t partition);
    RequestOptions request_options() const;
    // Runs `then` with the answer on the loop: answers come on any thread. Not once the canary has
    // stopped.
    template <typename Result>
    absl::AnyInvocable<void(absl::StatusOr<Result>)> on_loop(
        std::function<void(absl::StatusOr<Result>)> then);

    const CanaryOptions options_;
    const base::NodeId self_;
    const Environment environment_;
    const std::string life_;

    // By partition; made when it is its turn.
    std::vector<std::unique_ptr<CanaryKey>> keys_;
    uint32_t turn_ = 0;
    // By its id: of two that were made at once the lower id has the name, and the other one is
    // there under its id for the canaries that have found it. Empty: not known yet.
    std::string namespace_;
    uint32_t replicas_ = 0;
    // Since when there is none, and since when others could make it.
    std::optional<base::MonotonicTime> without_namespace_since_;
    std::optional<base::MonotonicTime> waiting_since_;
    bool has_told_ = false;
    // A clock that goes back must not make a later write look older. One that stays behind was
    // wrong before, and nodes refuse what it has named.
    uint64_t created_ms_ = 0;
    std::optional<base::MonotonicTime> behind_since_;
    env::TimerId timer_ = 0;
    CanaryCounts counts_;
    // Null once stopped. Tasks on the loop hold it weakly.
    std::shared_ptr<int> alive_;
};

}  // namespace starling::node
