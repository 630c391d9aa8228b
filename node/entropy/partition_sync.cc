#include "node/entropy/partition_sync.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "node/entropy/records.h"

namespace starling::node {

PartitionSync::PartitionSync(EntropyRuntime& runtime,
                             const PartitionSyncRequest& request,
                             Done done)
    : runtime_(runtime),
      request_(request),
      exchange_(runtime, request.from),
      done_(std::move(done)) {}

void PartitionSync::start() {
    ask_groups([this](const peer::EntropyGroups& groups) { on_groups(groups); });
}

void PartitionSync::ask_groups(absl::AnyInvocable<void(const peer::EntropyGroups&)> next) {
    peer::EntropyMessage question;
    question.mutable_groups_ask();
    if (request_.wants_fence) {
        question.mutable_groups_ask()->set_fenced_seat(request_.seat.raw());
    }
    exchange_.ask({.partition = request_.partition, .replicas = 0},
                  std::move(question),
                  peer::EntropyMessage::kGroups,
                  [this, next = std::move(next)](const absl::Status& status,
                                                 const peer::EntropyMessage* answer) mutable {
                      if (!status.ok()) return finish(status);
                      next(answer->groups());
                  });
}

void PartitionSync::on_groups(const peer::EntropyGroups& groups) {
    for (const uint32_t replicas : groups.replicas()) {
        if (replicas == 0 || replicas > 255) {
            return finish(absl::InvalidArgumentError("a group of impossible size"));
        }
        if (replicas > request_.seat.raw()) {
            groups_.push_back(
                {.partition = request_.partition, .replicas = static_cast<uint8_t>(replicas)});
        }
    }
    std::sort(groups_.rbegin(), groups_.rend());
    groups_.erase(std::unique(groups_.begin(), groups_.end()), groups_.end());
    next_group();
}

void PartitionSync::next_group() {
    const bool is_asked_again = request_.wants_fence || request_.tells_epoch;
    if (groups_.empty() && is_asked_again && !gave_to_the_end_) {
        gave_to_the_end_ = true;
        // By the same life: another one may have a disk that was set back to before the fence. Of
        // one that has given its seat away meanwhile nothing comes any more.
        return ask_groups([this](const peer::EntropyGroups&) { next_group(); });
    }
    if (groups_.empty()) return finish(absl::OkStatus());
    const GroupId group = groups_.back();
    groups_.pop_back();
    if (request_.tells_epoch) return tell(group);
    take(group);
}

void PartitionSync::tell(GroupId group) {
    runtime_.host.report(
        group,
        request_.from,
        lifeline_.guard([this, group](absl::StatusOr<peer::EntropyReport> report) {
            if (!report.ok()) return finish(report.status());
            const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group);
            if (!own.ok()) return finish(own.status());
            peer::EntropyMessage question;
            // What was seen here is not on the disk for certain, and nobody is to build on it yet,
            // nor to take it for all that was seen at this time, or since it was asked.
            report->set_wall_ms(0);
            report->set_answers(0);
            Frontier().encode(*question.mutable_check()->mutable_frontier());
            question.mutable_check()->set_root_hash(root_hash(own->buckets));
            *question.mutable_check()->mutable_report() = *std::move(report);
            telling_ = std::make_unique<Exchange>(runtime_, request_.from);
            telling_->ask(
                group,
                std::move(question),
                peer::EntropyMessage::kChecked,
                [this, group](const absl::Status& status, const peer::EntropyMessage* answer) {
                    if (!status.ok()) return finish(status);
                    on_told(group, answer->checked());
                });
        }));
}

void PartitionSync::on_told(GroupId group, const peer::EntropyChecked& checked) {
    const absl::StatusOr<Frontier> theirs = read_frontier(checked.frontier());
    if (!theirs.ok()) return finish(theirs.status());
    if (checked.has_report()) {
        runtime_.host.reported(group, request_.from, *theirs, checked.report());
    }
    take(group);
}

void PartitionSync::take(GroupId group) {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group);
    if (!own.ok()) return finish(own.status());
    if (request_.is_copy && own->frontier.empty()) return copy(group);
    pull(group, 1);
}

void PartitionSync::copy(GroupId group) {
    copy_ = std::make_unique<BulkCopy>(
        runtime_, group, request_.from, [this, group](const absl::StatusOr<uint64_t>& copied) {
            if (!copied.ok()) {
                // Whoever is being refilled itself gives no copies; of two that need each other one
                // has to begin.
                if (!request_.tells_epoch) return finish(copied.status());
                STARLING_MARK(entropy_refill_goes_on_without_a_copy);
            }
            pull(group, 1);
        });
    copy_->start();
}

void PartitionSync::pull(GroupId group, uint32_t round) {
    session_ = std::make_unique<SyncSession>(
        runtime_,
        group,
        request_.from,
        request_.is_fill ? SyncSession::Mode::fill : SyncSession::Mode::thorough,
        [this, group, round](absl::StatusOr<SyncResult> result) {
            if (!result.ok()) return finish(result.status());
            const bool is_near = result->records <= runtime_.options.nearly_records_max ||
                                 round >= runtime_.options.copy_rounds_max;
            if (request_.is_copy && !is_near) {
                STARLING_MARK(entropy_copy_needs_another_round);
                return pull(group, round + 1);
            }
            // A late message may have brought what the giver has no more, behind the keys that were
            // compared: it was new here, and is not now that the frontiers are united.
            const bool takes_word = request_.tells_epoch || request_.wants_fence;
            if (takes_word && round == 1) return pull(group, round + 1);
            next_group();
        });
    session_->start();
}

void PartitionSync::finish(absl::Status status) {
    Done done = std::move(done_);
    done(std::move(status));
}

}  // namespace starling::node
