#pragma once

// The owners of one group, reduced to what the rules of docs/causality.md speak of: records,
// frontiers, messages that may be lost, doubled or late, and pairwise anti-entropy. It runs the
// real mint() and merge(), and keeps beside them what the clients meant, so that it can say which
// writes should be there. Each rule can be weakened, to show what it is for.

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/version/record.h"

namespace starling::node::model {

inline constexpr size_t owner_count = 3;
inline constexpr size_t key_count = 2;

// All true: the rules as they are.
struct Rules {
    // R3: the frontier takes the dots of siblings, and not what the context of one key says.
    bool frontier_from_siblings_only = true;
    // R4: anti-entropy ends with the union of the frontiers.
    bool frontier_union = true;
    // I2: a message carries the whole record, not the new sibling with the record's vector.
    bool whole_records = true;
    // R7: superseded request ids are remembered.
    bool requests_remembered = true;
    // R7: a client's context names the requests of the siblings it saw.
    bool context_names_requests = true;
    // R7: and those that these had superseded.
    bool context_names_superseded = true;
    // R1: a put that names nothing hides younger requests, and replaces only older ones.
    bool younger_only_hidden = true;
};

// What a client knows after a read.
struct Reading {
    Superseded seen;
    // The live requests it was shown.
    std::set<base::RequestId> live;
    // Those, and all that they had replaced, at any remove.
    std::set<base::RequestId> past;
};

enum class Replaces {
    // What the minting owner holds.
    held_here,
    // What the minting owner and one other hold.
    held_by_two,
    // What a client's reading saw.
    seen_by_reader,
};

struct Put {
    size_t owner = 0;
    size_t key = 0;
    base::RequestId request{};
    bool is_tombstone = false;
    Replaces replaces = Replaces::held_here;
    // For held_by_two.
    size_t other_owner = 0;
    // For seen_by_reader.
    Reading reading{};
};

struct Message {
    size_t to = 0;
    size_t key = 0;
    Record record;
    Dot dot;
    // Of the record, for telling messages apart.
    uint64_t digest = 0;
};

class Cluster {
  public:
    explicit Cluster(Rules rules = {});

    Reading read(size_t owner, size_t key) const;
    // Mints, unless the owner knows the request already; either way sends the record to the others.
    void put(const Put& put);
    // Rule R2 and R3. The message stays, and may be delivered again.
    void deliver(const Message& message);
    // Anti-entropy, rule R4: `to` takes everything from `from`.
    void pull(size_t to, size_t from);
    // All pairs, until nothing can change any more.
    void converge();

    // What is wrong in a converged cluster: replicas that differ, gaps, writes lost or back.
    std::optional<std::string> violation() const;

    const Record& record(size_t owner, size_t key) const { return owners_[owner].records[key]; }
    const Frontier& frontier(size_t owner) const { return owners_[owner].frontier; }
    const std::vector<Message>& messages() const { return messages_; }
    // The request of every dot minted for a key.
    const std::map<Dot, base::RequestId>& minted(size_t key) const { return minted_[key]; }

  private:
    struct Owner {
        Actor actor;
        uint64_t minted_count = 0;
        Frontier frontier;
        std::array<Record, key_count> records;
    };
    // Which requests each request replaced.
    using Replaced = std::map<base::RequestId, std::set<base::RequestId>>;

    Reading reading_of(const Record& record, size_t key) const;
    Reading older_held(const Record& record, size_t key, const base::RequestId& request) const;
    void merge_into(Owner& owner, size_t key, const Record& incoming);
    void send(size_t from, size_t key, const Dot& dot);
    std::optional<std::string> difference() const;
    std::optional<std::string> wrong_writes(size_t key) const;

    Rules rules_;
    std::array<Owner, owner_count> owners_;
    std::vector<Message> messages_;
    std::array<std::map<Dot, base::RequestId>, key_count> minted_;
    std::array<std::map<Dot, std::set<base::RequestId>>, key_count> pasts_;
    // A write was minted over something that its own request had been replaced by.
    bool replaced_its_own_future_ = false;
    std::array<Replaced, key_count> replaced_;
};

// The siblings that a record of this context and these superseded requests must have, by invariant
// 3 of Record.
std::set<Dot> live_dots_by_definition(const std::map<Dot, base::RequestId>& minted,
                                      const Context& context,
                                      const std::vector<base::RequestId>& gone);
std::set<Dot> live_dots(const Record& record);
std::set<base::RequestId> live_requests(const Record& record);

}  // namespace starling::node::model
