#include "node/entropy/entropy.h"

#include <utility>

namespace starling::node {

Entropy::Entropy(EntropyOptions options,
                 EntropyHost& host,
                 GroupAccess& groups,
                 env::EventLoop& loop,
                 env::Random& random)
    : runtime_{.options = options, .host = host, .groups = groups, .loop = loop, .random = random},
      responder_(runtime_,
                 [this](GroupId group,
                        base::NodeId peer,
                        const Frontier& theirs,
                        uint64_t root_hash,
                        bool has_missed) {
                     scheduler_.on_checked_by(group, peer, theirs, root_hash, has_missed);
                 }),
      scheduler_(runtime_) {}

Entropy::~Entropy() {
    stop();
}

void Entropy::on_message(base::NodeId from, const peer::EntropyMessage& message) {
    if (is_stopped_) return;
    const GroupId group{.partition = base::PartitionId(static_cast<uint16_t>(message.partition())),
                        .replicas = static_cast<uint8_t>(message.replicas())};
    if (message.partition() > 0xffff || message.replicas() > 0xff) {
        ++runtime_.counters.malformed_messages;
        return;
    }
    switch (message.body_case()) {
        case peer::EntropyMessage::kCheck:
        case peer::EntropyMessage::kSummaryAsk:
        case peer::EntropyMessage::kListingAsk:
        case peer::EntropyMessage::kFetch:
        case peer::EntropyMessage::kScan:
        case peer::EntropyMessage::kGroupsAsk:
        case peer::EntropyMessage::kMissingAsk:
        case peer::EntropyMessage::kHintsAsk:
        case peer::EntropyMessage::kRememberedAsk:
        case peer::EntropyMessage::kCountingAsk:
            return responder_.on_question(from, message);
        case peer::EntropyMessage::kHintsGone:
            return runtime_.host.told_hints_gone(group, from, message.hints_gone());
        case peer::EntropyMessage::kRemembered:
            return runtime_.host.told_remembered(group, from, message.remembered());
        case peer::EntropyMessage::kCounting:
            return runtime_.host.told_counting(group, from, message.session(), message.counting());
        case peer::EntropyMessage::BODY_NOT_SET:
            ++runtime_.counters.malformed_messages;
            return;
        default:
            break;
    }
    const auto exchange = runtime_.exchanges.find(message.session());
    if (exchange == runtime_.exchanges.end()) return;
    const bool was_silent = runtime_.silent_peers.contains(from);
    exchange->second->on_message(from, message);
    if (was_silent && !runtime_.silent_peers.contains(from)) {
        scheduler_.heard_again(from);
    }
}

void Entropy::set_peers(GroupId group, const std::vector<base::NodeId>& peers) {
    if (!is_stopped_) {
        scheduler_.set_peers(group, peers);
    }
}

void Entropy::kick(base::NodeId peer) {
    scheduler_.kick(peer);
}

void Entropy::peer_missed(GroupId group, base::NodeId peer) {
    scheduler_.peer_missed(group, peer);
}

void Entropy::ask_hints(GroupId group, base::NodeId member) {
    peer::EntropyMessage question;
    question.mutable_hints_ask();
    ask(group, member, std::move(question));
}

void Entropy::ask_remembered(GroupId group, base::NodeId holder, peer::EntropyRememberedAsk known) {
    peer::EntropyMessage question;
    *question.mutable_remembered_ask() = std::move(known);
    ask(group, holder, std::move(question));
}

void Entropy::ask_counting(GroupId group, base::NodeId holder, uint64_t number, bool checks) {
    peer::EntropyMessage question;
    question.set_session(number);
    question.mutable_counting_ask()->set_checks(checks);
    ask(group, holder, std::move(question));
}

// Once, and the answer goes to the host.
void Entropy::ask(GroupId group, base::NodeId node, peer::EntropyMessage question) {
    if (is_stopped_) return;
    question.set_partition(group.partition.raw());
    question.set_replicas(group.replicas);
    runtime_.send(node, std::move(question));
}

uint64_t Entropy::start_partition_sync(const PartitionSyncRequest& request, Done done) {
    const uint64_t id = ++last_sync_;
    if (is_stopped_) return id;
    auto sync = std::make_unique<PartitionSync>(
        runtime_, request, [this, id, done = std::move(done)](absl::Status status) mutable {
            // Moved out first: erasing the sync destroys this very callback's captures.
            Done finished = std::move(done);
            syncs_.erase(id);
            finished(std::move(status));
        });
    PartitionSync& started = *sync;
    syncs_.emplace(id, std::move(sync));
    started.start();
    return id;
}

void Entropy::cancel(uint64_t sync) {
    syncs_.erase(sync);
}

void Entropy::end_syncs(base::PartitionId partition, const absl::Status& status) {
    std::vector<uint64_t> of_partition;
    for (const auto& [id, sync] : syncs_) {
        if (sync->partition() == partition) of_partition.push_back(id);
    }
    for (const uint64_t id : of_partition) {
        // One may end another.
        if (const auto sync = syncs_.find(id); sync != syncs_.end()) sync->second->end(status);
    }
}

void Entropy::end_refills(base::PartitionId partition, const absl::Status& status) {
    for (const auto& [id, sync] : syncs_) {
        if (sync->partition() == partition && sync->is_refill()) sync->end_soon(status);
    }
}

void Entropy::stop() {
    is_stopped_ = true;
    scheduler_.stop();
    syncs_.clear();
}

}  // namespace starling::node
