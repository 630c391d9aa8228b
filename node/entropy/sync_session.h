#pragma once

// Pulls from one peer what one group lacks here, then makes the peer's frontier part of the own
// (rule R4).
//
// The peer sends its frontier F, and of each dot in F that this side has not seen and that its
// index has, or, for a fill, its list of tombstones, the record of that dot's key. These are merged
// here, durably. A thorough session also compares the hash trees, lists the keys of all buckets
// that differ, here and there, in one pass over either side, and pulls the records of keys whose
// values differ. Then the own frontier becomes own + F.
//
// Why the last step is right: take any dot d of F that was not seen here, of key k.
//   - The index has d. The peer's record of k, as it was when the session began or later, was
//     merged: what the peer reflects of k is reflected here. It came with d, or, the same to the
//     byte, with an earlier page (sent_records.h).
//   - It has not: all owners had seen d when the peer took it out, and this replica was none or had
//     other data then. So this is a fill, for which the peer also names the dots of tombstones that
//     it still has; what it has of k otherwise is a value, which a copy or the trees bring, or
//     nothing, which is its word. After it this comes no more: an owner that has not seen
//     what all owners had seen has lost it, says so to its host, and unites nothing.
// All merges are durable before the union is asked for. A session that ends early unites nothing;
// the dots that its pages spoke of were claimed with each page, for the first reason alone. A crash
// of the peer, which loses what was not synced, and a drop of its group end the session
// (EntropyMessage.instance).
//
// The tree has live values alone, so it differs from the peer's although the frontiers are equal
// only where one of the two has lost a record.
//
// Where F seals lives that are not sealed here the trees are compared in any case. A seal names no
// dots, so a replica whose disk was set back would take it without what it lacks of these lives;
// all owners had seen that, so no index has it. As long as the life is not sealed here a value of
// it that the trees bring is news; afterwards it would be refused for ever.
//
// A session that fills takes the giver's word (Mode::fill): a value that the giver has seen and no
// longer has was superseded, perhaps by a tombstone that has been collected since it was copied.
//
// Answers are bounded pages, in what they bring and in what is read for them; one question is open
// at a time, and nothing is kept between sessions. A page is merged before the next is asked for.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "node/entropy/exchange.h"
#include "node/entropy/listing_diff.h"
#include "node/entropy/runtime.h"
#include "node/replica/group_access.h"

namespace starling::node {

struct SyncResult {
    uint64_t records = 0;
};

class SyncSession {
  public:
    // dots: what the peer's index has. thorough: the trees are compared, too. fill: like thorough,
    // and this replica, which counts for nothing yet, becomes what the peer is.
    enum class Mode : uint8_t { dots, thorough, fill };
    using Done = absl::AnyInvocable<void(absl::StatusOr<SyncResult>)>;

    SyncSession(EntropyRuntime& runtime, GroupId group, base::NodeId peer, Mode mode, Done done);

    // `done` runs once, unless this object is destroyed before; it may destroy it.
    void start();

  private:
    void ask_missing();
    void on_missing(const peer::EntropyMissing& message);
    absl::StatusOr<bool> has_lost_something() const;
    // The peer has sealed lives that are not sealed here.
    bool brings_seals() const;
    void end_pages();
    void ask_summary();
    void on_summary(const peer::EntropySummary& message);
    void compare_listings();
    void list_own();
    void ask_listing();
    void on_listing(ListingDiff::Side side, absl::StatusOr<ListingPage> page);
    void fetch();
    void on_fetched(const peer::EntropyFetched& fetched, size_t asked);
    void count_pulled(const google::protobuf::RepeatedPtrField<peer::EntropyRecord>& records);
    void unite();
    void finish(absl::Status status);

    // Constant after construction.
    EntropyRuntime& runtime_;
    const GroupId group_;
    const Mode mode_;

    Exchange exchange_;
    Done done_;
    // What was seen here when the session began, and what the peer had seen then.
    Frontier own_;
    Frontier theirs_;
    // The dots that the pages spoke of.
    Frontier brought_;
    // The last dot that was answered for, encoded.
    std::string after_dot_;
    // Of the buckets that differ; none before that is known.
    std::optional<ListingDiff> listings_;
    // Of the pages compared last.
    std::vector<std::string> wanted_;
    size_t wanted_done_ = 0;
    SyncResult result_;
    Lifeline lifeline_;
};

}  // namespace starling::node
