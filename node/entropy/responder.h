#pragma once

// Answers the questions of other nodes' sessions from this shard's data. Between questions it keeps
// nothing but what it has sent, which only saves sending it again. A question whether this node
// counts may take it long, and is answered once however often it comes meanwhile.

#include <cstdint>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

#include "base/ids.h"
#include "node/entropy/runtime.h"
#include "node/entropy/sent_records.h"

namespace starling::node {

class Responder {
  public:
    // Hears what another node that asked for a comparison has, and whether that says that this one
    // has missed something.
    using Checked = absl::AnyInvocable<void(
        GroupId, base::NodeId, const Frontier& frontier, uint64_t root_hash, bool has_missed)>;

    Responder(EntropyRuntime& runtime, Checked checked)
        : runtime_(runtime), checked_(std::move(checked)), life_(runtime.random.next_id()) {}

    // REQUIRES: the message is a question. One that makes no sense, or comes while too many are
    // being answered, is answered by `failed`.
    void on_question(base::NodeId from, const peer::EntropyMessage& question);

  private:
    // Whom to answer what: the question's addressing.
    struct Asker {
        base::NodeId node;
        peer::EntropyMessage answer;
        GroupId group;
        // Of the group when it asked.
        uint64_t drops = 0;
    };
    struct Fetching;

    void on_remembered_ask(Asker asker, const peer::EntropyRememberedAsk& ask);
    void on_check(Asker asker, const peer::EntropyCheck& check);
    void on_missing(Asker asker, const peer::EntropyMissingAsk& ask);
    void on_hints_ask(Asker asker);
    void on_counting_ask(Asker asker, bool checks);
    void on_summary(Asker asker);
    void on_listing(Asker asker, const peer::EntropyListingAsk& ask);
    void on_fetch(Asker asker, const peer::EntropyFetch& fetch);
    void fetch_some(const std::shared_ptr<Fetching>& fetching);
    bool add_records(Fetching& fetching, size_t key_count, std::vector<KeyRecord>& records);
    void on_scan(Asker asker, const peer::EntropyScan& scan);
    void on_groups(Asker asker, const peer::EntropyGroupsAsk& ask);
    uint64_t drops_of(GroupId group) const;
    void reply(Asker& asker);
    void fail(Asker& asker, const absl::Status& status);

    EntropyRuntime& runtime_;
    Checked checked_;
    const uint64_t life_;
    uint32_t serving_ = 0;
    // Questions whether this node counts that are being answered: group, asker, number.
    std::set<std::tuple<GroupId, base::NodeId, uint64_t>> checking_;
    SentRecords sent_;
    Lifeline lifeline_;
};

}  // namespace starling::node
