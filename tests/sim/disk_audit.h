#pragma once

// Now and then, at the very moment when a node acknowledges a put, looks at all disks as a power
// cut of all nodes at that moment would leave them.
//   I10  the write is there for as many seats as W asks for (by their holders, or as hints for
//        them), on as many machines as the receipt says. It must stay there for as many seats: an
//        earlier promise is looked at again each time, and all that are remembered when faults end.
//   I9   no frontier is ahead of the records: each dot that it has, and that not all owners have
//        seen, is in the index and accounted for by the record of its key. Looked at on the disk of
//        each machine that dies, too.
//   I5   the versions of the keys around it, as the disks have them and as earlier audits have met
//        them, obey the laws of merging (merge_laws.h).
// Which acknowledgements is drawn from the seed. An audit changes nothing in the run: same digest
// with and without.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tests/sim/cluster.h"
#include "tests/sim/disk_copy.h"
#include "tests/sim/oracle.h"

namespace starling::sim {

struct DiskAuditCounts {
    uint64_t acknowledgements = 0;
    uint64_t disks_opened = 0;
    uint64_t indexed_dots = 0;
    // Keys whose versions were merged in all orders.
    uint64_t keys_merged = 0;
    // The largest number of different versions of one key.
    uint64_t versions_max = 0;
};

class DiskAudit {
  public:
    struct World {
        Cluster& cluster;
        Oracle& oracle;
        Verdict& verdict;
        const RunOptions& options;
        const env::SimRandom& random;
        std::function<base::NamespaceId(KeyIndex)> name_space_of;
    };

    explicit DiskAudit(World world);

    // `by` acknowledges the put at this moment; `quorum` is the W asked for.
    void put_acknowledged(
        Machine& by, KeyIndex key, WriteId id, uint32_t quorum, const node::PutResult& result);

    void died(Machine& machine);
    // What was promised must be there at this moment too.
    void check_promises();

    const DiskAuditCounts& counts() const { return counts_; }

  private:
    // An acknowledgement, for later.
    struct Promise {
        KeyIndex key;
        WriteId id;
        uint32_t quorum = 0;
        node::Dot dot;
        node::Receipt receipt;
    };
    using VersionedKey = std::pair<node::GroupId, std::string>;

    void draw_next();
    // One audit looks at one moment, so each disk is copied once for all it asks. Null: there is
    // no such shard on the disk, or it could not be opened, which is reported.
    DiskCopy* open(Machine& machine, node::GroupId group);
    void remember(const Promise& promise);
    bool may_be_forgotten(const Promise& promise) const;
    // Looks at `first` before the others.
    void check_durable(const Promise& promise, Machine* first);
    // Of the key's group, on all disks.
    void check_records(KeyIndex key);
    using Versions = std::map<std::string, std::deque<node::Record>>;
    // Hands on each record that it reads.
    void check_frontier(const Machine& machine,
                        DiskCopy& disk,
                        node::GroupId group,
                        const std::function<void(std::string_view group_key, node::Record)>& use);
    void check_merges(KeyIndex key, Versions met);
    void check_merges_of(KeyIndex key, std::deque<node::Record>& versions);
    void failed(const Machine& machine, const absl::Status& status);
    node::GroupId group_of(KeyIndex key) const;

    const World world_;
    env::SimRandom random_;
    // Acknowledgements until the next one that is looked at.
    uint64_t until_next_ = 0;
    // Some of those that were looked at, and of those with hints.
    std::deque<Promise> promises_;
    base::ClusterId cluster_;
    // By machine and shard; while an audit runs.
    std::map<std::pair<uint32_t, uint32_t>, std::unique_ptr<DiskCopy>> open_;
    // Different versions met, the latest last.
    std::map<VersionedKey, std::deque<node::Record>> versions_;
    DiskAuditCounts counts_;
};

}  // namespace starling::sim
