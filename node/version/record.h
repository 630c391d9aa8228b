#pragma once

// What a replica stores for a key: a causal context and the siblings that nothing known supersedes,
// each under the dot that wrote it. A dotted version vector set (Preguica et al., "Dotted Version
// Vectors", 2010), with the request ids that make a retry the same write. Rules R1-R3 and R7 of
// docs/causality.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "base/ids.h"
#include "node/version/context.h"
#include "node/version/dot.h"
#include "node/version/frontier.h"
#include "node/version/hybrid_time.h"

namespace starling::node {

struct Sibling {
    Dot dot;
    base::RequestId request;
    HybridTime time;
    // Unix milliseconds; 0 = never expires.
    uint64_t expires_ms = 0;
    bool is_tombstone = false;
    // Empty for a tombstone.
    std::string value;
    // Sorted: older requests that replaced this one without knowing its client's write came later
    // (mint_over). While one of them is in the record, this sibling is not shown.
    std::vector<base::RequestId> hidden_by = {};

    friend bool operator==(const Sibling&, const Sibling&) = default;
};

// Invariants:
// 1. Siblings are ordered by dot, no two of one dot, no two of one request id, each covered by
// `context`.
// 2. `gone` is sorted, and none of its ids is live.
// 3. A dot that the context covers is live, or a lesser dot of its request is, or its request id is
//    in `gone` (for as long as that remembers). So a record's siblings are decided by context and
//    `gone` alone, and merging is a join.
// 4. Who replaced whom has no circle: a write that names what it replaces was made after it, one
//    that does not puts only older requests into `gone`. So something is always left.
struct Record {
    Context context;
    std::vector<Sibling> siblings;
    // Ids of requests whose writes were superseded. A second dot of such a request is dead on
    // arrival. Entries leave when they are older than the request-id window
    // (forget_requests_before).
    std::vector<base::RequestId> gone;

    // A value that a reader is shown.
    bool has_live_value() const;
    bool is_hidden(const Sibling& sibling) const;
    const Sibling* find(const base::RequestId& request) const;
    bool is_gone(const base::RequestId& request) const;

    friend bool operator==(const Record&, const Record&) = default;
};

// How many superseded request ids a reader is told of, newest first. It bounds the client's token
// on a key that is rewritten many times within the request-id window; ids beyond it were superseded
// that many writes ago.
inline constexpr size_t superseded_requests_told_max = 512;

// What a write replaces: the context and the request ids it has seen, from a client's read, from
// the context exchange of a put without context, or empty ("I have seen nothing").
struct Superseded {
    Context context;
    // Sorted: the ids of the siblings seen, and of requests that those had superseded already.
    // Without the latter a lagging owner could mint a late retry of one of them as something new.
    std::vector<base::RequestId> requests;

    // Everything that `record` reflects.
    static Superseded by_reading(const Record& record);
    // The request was minted before, elsewhere, and is live or superseded there. Who finds this
    // should fetch the record that says so and answer from it, instead of minting the request
    // again.
    bool has_seen(const base::RequestId& request) const;
    void merge(const Superseded& other);
    friend bool operator==(const Superseded&, const Superseded&) = default;
};

struct NewWrite {
    Dot dot;
    base::RequestId request;
    HybridTime time;
    uint64_t expires_ms = 0;
    bool is_tombstone = false;
    std::string value;
};

// R1: the record after `write`, which supersedes what `superseded` covers. A write that
// `superseded` has already seen is a retry; it supersedes nothing, so that it cannot remove its own
// first copy. REQUIRES: the dot is fresh, the request has an id and is neither live in `local` nor
// gone, and `superseded` claims no more of the dot's actor than that actor has minted (a client may
// have been handed a context by a cluster whose secret leaked).
Record mint(const Record& local, const Superseded& superseded, NewWrite write);

// R1 for a write whose client names nothing: it replaces all that `local` holds. What is of a
// younger request it only hides: either a client's clock is wrong, or `write` is a late retry whose
// first copy the younger one has replaced elsewhere, and then both would be gone. The next write
// that sees both decides. REQUIRES: as mint().
Record mint_over(const Record& local, NewWrite write);

// R3: unites `incoming` into `local`. `frontier` is what the local replica has seen of the group;
// siblings of `incoming` that it has seen and no longer holds stay gone. Adds the dots of incoming
// siblings to `frontier`, nothing else. True when `local` changed; `frontier` may grow even when it
// did not.
bool merge(Record& local, const Record& incoming, Frontier& frontier);
// The same, taking the values out of `incoming` instead of copying them.
bool merge(Record& local, Record&& incoming, Frontier& frontier);

// Who takes a replica's state over, whole, takes its word: as merge(), and what `giver` holds no
// more of the dots that it has seen (`seen_by_giver`) goes here as well. It was superseded, perhaps
// by a tombstone that has been collected since (R5). REQUIRES: this replica counts for nothing yet.
void take_over(Record& local,
               const Record& giver,
               const Frontier& seen_by_giver,
               Frontier& frontier);

// Whether `local` accounts for every value of `incoming` that `frontier` says is reflected here: it
// holds it, or what superseded it. If not, either `incoming` is old, of before a tombstone that has
// been collected since (rule R5); or this replica has lost a record, and merging would pass off the
// loss as a deletion (I5).
bool accounts_for(const Record& local, const Record& incoming, const Frontier& frontier);

// The pure join, for a coordinator that merges replies and holds no frontier. True when `local`
// changed.
bool join(Record& local, const Record& incoming);
bool join(Record& local, Record&& incoming);

// Forgets superseded request ids that were created before `created_ms`. Of what is left of a record
// without siblings the youngest stays, as its age, until all of it goes (forget_remains).
void forget_requests_before(Record& record, uint64_t created_ms);

// Layout: docs/formats/record.md. Ends with a checksum over all of it, so that one made where a
// write enters protects key, value and versions up to whoever decodes them.
void encode_record(std::string& out, const Record& record);
// data_loss when `bytes` is not exactly one valid record.
absl::StatusOr<Record> decode_record(std::string_view bytes);

// Of the record's siblings: equal ones have equal digests, on every node. The context counts for
// nothing, since each replica strips it in its own time (R8), and so does `gone`.
uint64_t record_digest(std::string_view key, const Record& record);
// The same of its values alone, hidden ones included, for the hash tree: tombstones are collected
// by each replica in its own time (R5). 0 when there is none.
uint64_t leaf_digest(std::string_view key, const Record& record);

}  // namespace starling::node
