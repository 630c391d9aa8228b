#pragma once

// Pulls from one peer what one group lacks here, then makes the peer's frontier part of the own
// (rule R4).
//
// The peer sends its frontier F and the digests of its 256 buckets, both taken at one moment. For
// each bucket that differs from the own, it lists its keys with their digests, and sends the
// records of those that differ; they are merged here, durably. Then the own frontier becomes own +
// F.
//
// Why the last step is right: take any dot d of F, of a key in bucket b. At the moment of the
// summary the peer reflected d (I1) by its record of that key, and what a replica reflects only
// grows.
//   - The digests of b are equal: the records in b here were those of the peer at that moment, so
//     they reflect d here too.
//   - They differ, and the key's digest is equal in the listing, which is later: the same, for this
//     one record.
//   - It differs, or the key is absent here: the peer's record, as it is later still, is fetched
//     and merged, so what the peer reflects of the key is reflected here.
//   - The key is absent from the listing: no record of the peer explains d any more. Records do not
//     vanish while tombstones are kept for good; whoever collects them has to answer for their dots
//     here. A crash of the peer, which loses what was not synced, and a drop of its group end the
//     session (EntropyMessage.instance).
// All merges are durable before the union is asked for, and a session that ends early unites
// nothing.
//
// Answers are bounded pages, one question is open at a time, and nothing is kept between sessions:
// a second one, after an interruption, finds the buckets that are already equal.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "node/entropy/exchange.h"
#include "node/entropy/runtime.h"
#include "node/replica/group_access.h"

namespace starling::node {

struct SyncResult {
    uint64_t records = 0;
    // This replica has something that the peer's summary did not have.
    bool is_peer_behind = false;
};

class SyncSession {
  public:
    // thorough: every bucket that differs. hasty: none of them when the own frontier has all of the
    // peer's and more, because then only the peer can lack something.
    enum class Mode : uint8_t { thorough, hasty };
    using Done = absl::AnyInvocable<void(absl::StatusOr<SyncResult>)>;

    SyncSession(EntropyRuntime& runtime, GroupId group, base::NodeId peer, Mode mode, Done done);

    // `done` runs once, unless this object is destroyed before; it may destroy it.
    void start();

  private:
    void on_summary(const peer::EntropySummary& message);
    void next_bucket();
    void on_own_keys(std::vector<KeyDigest> keys);
    void ask_page();
    void on_page(const peer::EntropyBucket& page);
    void fetch();
    void on_fetched(const peer::EntropyFetched& fetched, size_t asked);
    void unite();
    void finish_pulled();
    void finish(absl::Status status);

    // Constant after construction.
    EntropyRuntime& runtime_;
    const GroupId group_;
    const Mode mode_;

    Exchange exchange_;
    Done done_;
    GroupSummary theirs_;
    // Still to do, last first.
    std::vector<size_t> buckets_;
    // Of the present bucket.
    std::map<std::string, uint64_t> own_keys_;
    std::string after_;
    bool has_more_ = false;
    std::vector<std::string> wanted_;
    size_t wanted_done_ = 0;
    SyncResult result_;
    Lifeline lifeline_;
};

}  // namespace starling::node
