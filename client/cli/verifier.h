#pragma once

// Compares the replicas of each group with one another, from outside and without changing anything.
//
//     digests of buckets -> where they differ: digests of their keys -> where they differ: first
//     look -> pause -> second look -> equal, a difference, or (while it changes all the time) a
//     look more
//
// A write under way is no difference. So a key counts as different only when, a pause after the
// first look, some replica still does not reflect all that the replicas together had then, or when
// nothing has changed since and they are not equal. What cannot be compared is said: a replica that
// does not answer, a seat that nobody holds, a key that changes at each look.
//
// Digests are of values: a replica that lacks a delete which hides nothing there has equal ones. So
// the replicas' frontiers are compared as well. A pause after the first look each replica must have
// seen all writes that another one had seen then.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "base/time.h"
#include "client/cli/replica_listings.h"
#include "env/clock.h"
#include "starling/v1/admin.pb.h"

namespace starling::client {

// What the verifier asks of nodes.
class ReplicaSource {
  public:
    virtual absl::StatusOr<v1::RingResponse> ring() = 0;
    // `node`: an id.
    virtual absl::StatusOr<v1::InspectReplicaResponse> inspect(
        uint64_t node, const v1::InspectReplicaRequest& request) = 0;
    virtual void pause(base::Duration duration) = 0;

  protected:
    ~ReplicaSource() = default;
};

struct VerifyOptions {
    // Those to be compared; at least one.
    std::vector<v1::Namespace> namespaces = {};
    // Between two looks at a key.
    base::Duration settle = std::chrono::seconds(3);
    // Lists all keys, not those of buckets that differ: replicas read all that they have for it,
    // where digests of buckets may speak of what a disk has lost since.
    bool reads_all = false;
    // At least 2.
    uint32_t looks_max = 6;
    // Differences that are listed; more are counted.
    size_t differences_max = 1000;
    // Keys that are looked at again; once there are so many, the rest of the keys is not checked.
    size_t suspects_max = 100'000;
};

// One replica's state of a key.
struct Copy {
    uint64_t node = 0;
    v1::InspectedKey state;
};

struct Difference {
    std::string name_space;
    std::string key;
    uint32_t partition = 0;
    std::vector<Copy> copies;
};

// A replica that has not seen all that others have.
struct BehindReplica {
    uint32_t partition = 0;
    uint32_t replicas = 0;
    uint64_t node = 0;
    std::vector<uint64_t> others;
};

struct VerifyReport {
    // Before the first look: what was written later may not have been seen.
    base::WallTime as_of = {};
    uint64_t groups = 0;
    // Groups on fewer nodes than their N, and the least of these counts.
    uint64_t groups_short = 0;
    uint32_t copies_min = 0;
    uint64_t keys_looked_at = 0;
    // The first of `difference_count`.
    std::vector<Difference> differences;
    uint64_t difference_count = 0;
    std::vector<BehindReplica> behind;
    // What could not be checked, one line each: the first 1000 of `unchecked_count`.
    std::vector<std::string> unchecked;
    uint64_t unchecked_count = 0;

    bool is_different() const { return difference_count > 0 || !behind.empty(); }
    bool is_equal() const { return !is_different() && unchecked.empty() && groups_short == 0; }
};

class Verifier {
  public:
    Verifier(VerifyOptions options, ReplicaSource& source, const env::WallClock& wall_clock)
        : options_(std::move(options)), source_(source), wall_clock_(wall_clock) {}

    // The error of a first question that cannot be asked at all: the ring.
    absl::StatusOr<VerifyReport> run();

  private:
    // A partition, and the N of the group.
    using Group = std::pair<uint32_t, uint32_t>;
    struct Suspect {
        std::string key;
        // By node, the last look.
        std::map<uint64_t, v1::InspectedKey> seen = {};
    };

    // By node, as they were at the first look.
    using Frontiers = std::map<uint64_t, std::string>;

    void compare_all();
    void compare(Group group);
    // False when the holders have changed and the ring should be asked again.
    bool try_compare(Group group);
    std::vector<uint64_t> holders_of(Group group) const;
    // `question`: which buckets.
    void compare_keys(Group group,
                      const std::vector<uint64_t>& holders,
                      v1::InspectReplicaRequest question);
    void list_further(Group group, v1::InspectReplicaRequest& question, ReplicaListings& listings);
    bool has_enough() const { return suspect_count_ >= options_.suspects_max; }
    void look_again_at_all();
    void compare_frontiers(Group group, const Frontiers& before);
    void look(Group group, std::vector<Suspect>& suspects);
    // `question`: about `some`, in their order.
    void look_at_some(Group group,
                      const std::vector<uint64_t>& holders,
                      const v1::InspectReplicaRequest& question,
                      std::vector<Suspect>& some,
                      std::vector<Suspect>& left);
    absl::StatusOr<std::vector<v1::InspectedKey>> states_at(uint64_t node,
                                                            v1::InspectReplicaRequest question);
    void judge(Group group,
               Suspect suspect,
               std::map<uint64_t, v1::InspectedKey> now,
               std::vector<Suspect>& left);
    void report_difference(Group group,
                           const std::string& key,
                           const std::map<uint64_t, v1::InspectedKey>& copies);
    absl::StatusOr<v1::InspectReplicaResponse> ask(uint64_t node,
                                                   const v1::InspectReplicaRequest& request);
    const v1::Namespace* namespace_of(const std::string& group_key) const;
    void note_unanswered(Group group, uint64_t node, const absl::Status& status);
    void note_unchecked(const std::string& line);

    const VerifyOptions options_;
    ReplicaSource& source_;
    const env::WallClock& wall_clock_;
    v1::RingResponse ring_;
    std::map<Group, std::vector<Suspect>> suspects_;
    // Of groups of which they are not all equal.
    std::map<Group, Frontiers> frontiers_;
    size_t suspect_count_ = 0;
    std::set<uint64_t> silent_;
    // Hashes of the lines, so that each counts once.
    std::set<size_t> unchecked_;
    VerifyReport report_;
};

}  // namespace starling::client
