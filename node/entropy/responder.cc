#include "node/entropy/responder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "node/entropy/records.h"
#include "node/replica/seat_set.h"

namespace starling::node {

namespace {

constexpr uint32_t serving_max = 64;
constexpr int keys_per_fetch_max = 4096;
// Read at once for a fetch, before its size is known.
constexpr size_t keys_per_read = 16;

}  // namespace

struct Responder::Fetching {
    Asker asker;
    std::vector<std::string> keys;
    size_t done = 0;
    size_t bytes = 0;
};

void Responder::on_question(base::NodeId from, const peer::EntropyMessage& question) {
    Asker asker{
        .node = from,
        .answer = {},
        .group = {.partition = base::PartitionId(static_cast<uint16_t>(question.partition())),
                  .replicas = static_cast<uint8_t>(question.replicas())},
        .drops = 0};
    asker.drops = drops_of(asker.group);
    asker.answer.set_session(question.session());
    asker.answer.set_request(question.request());
    asker.answer.set_partition(question.partition());
    asker.answer.set_replicas(question.replicas());
    ++serving_;
    if (serving_ > serving_max) {
        STARLING_MARK(entropy_too_many_questions);
        return fail(asker, absl::ResourceExhaustedError("too many questions at once"));
    }
    switch (question.body_case()) {
        case peer::EntropyMessage::kCheck:
            return on_check(std::move(asker), question.check());
        case peer::EntropyMessage::kMissingAsk:
            return on_missing(std::move(asker), question.missing_ask());
        case peer::EntropyMessage::kHintsAsk:
            return on_hints_ask(std::move(asker));
        case peer::EntropyMessage::kRememberedAsk:
            return on_remembered_ask(std::move(asker), question.remembered_ask());
        case peer::EntropyMessage::kCountingAsk:
            return on_counting_ask(std::move(asker), question.counting_ask().checks());
        case peer::EntropyMessage::kSummaryAsk:
            return on_summary(std::move(asker));
        case peer::EntropyMessage::kListingAsk:
            return on_listing(std::move(asker), question.listing_ask());
        case peer::EntropyMessage::kFetch:
            return on_fetch(std::move(asker), question.fetch());
        case peer::EntropyMessage::kScan:
            return on_scan(std::move(asker), question.scan());
        case peer::EntropyMessage::kGroupsAsk:
            return on_groups(std::move(asker), question.groups_ask());
        default:
            return fail(asker, absl::UnimplementedError("unknown question"));
    }
}

void Responder::on_remembered_ask(Asker asker, const peer::EntropyRememberedAsk& ask) {
    std::optional<peer::EntropyRemembered> remembered =
        runtime_.host.remembered(asker.group, asker.node, ask);
    if (!remembered.has_value()) {
        return fail(asker, absl::UnavailableError("it is not known here who holds the group"));
    }
    *asker.answer.mutable_remembered() = *std::move(remembered);
    reply(asker);
}

void Responder::on_check(Asker asker, const peer::EntropyCheck& check) {
    absl::StatusOr<Frontier> theirs = read_frontier(check.frontier());
    if (!theirs.ok()) return fail(asker, theirs.status());
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(asker.group);
    if (!own.ok()) return fail(asker, own.status());
    const GroupId group = asker.group;
    const base::NodeId node = asker.node;
    if (check.has_report()) {
        runtime_.host.reported(group, node, *theirs, check.report());
    }
    checked_(group, node, *theirs, check.root_hash(), check.has_missed());
    own->frontier.encode(*asker.answer.mutable_checked()->mutable_frontier());
    asker.answer.mutable_checked()->set_root_hash(root_hash(own->buckets));
    runtime_.host.report(group,
                         node,
                         lifeline_.guard([this, asker = std::move(asker)](
                                             absl::StatusOr<peer::EntropyReport> report) mutable {
                             if (!report.ok()) return fail(asker, report.status());
                             *asker.answer.mutable_checked()->mutable_report() = *std::move(report);
                             reply(asker);
                         }));
}

void Responder::on_missing(Asker asker, const peer::EntropyMissingAsk& ask) {
    const absl::StatusOr<Frontier> seen = read_frontier(ask.frontier());
    if (!seen.ok()) return fail(asker, seen.status());
    const absl::StatusOr<std::optional<Dot>> after = read_cursor(ask.after());
    if (!after.ok()) return fail(asker, after.status());
    const GroupId group = asker.group;
    const SentRecords::Question question{
        .from = asker.node, .session = asker.answer.session(), .request = asker.answer.request()};
    runtime_.groups.missing(
        group,
        *seen,
        ask.fills() ? KnownDots::and_tombstones : KnownDots::indexed,
        *after,
        runtime_.options.batch_bytes_max,
        sent_.take(question),
        lifeline_.guard(
            [this, question, asker = std::move(asker)](absl::StatusOr<MissingPage> page) mutable {
                if (!page.ok()) return fail(asker, page.status());
                put_missing(*page, *asker.answer.mutable_missing());
                if (page->has_more) {
                    sent_.answered(question, std::move(page->sent), std::move(page->fingerprints));
                } else {
                    sent_.end(question);
                }
                reply(asker);
            }));
}

void Responder::on_hints_ask(Asker asker) {
    const GroupId group = asker.group;
    runtime_.host.hints_gone(
        group,
        lifeline_.guard(
            [this, asker = std::move(asker)](absl::StatusOr<peer::EntropyHintsGone> gone) mutable {
                if (!gone.ok()) return fail(asker, gone.status());
                *asker.answer.mutable_hints_gone() = *std::move(gone);
                reply(asker);
            }));
}

void Responder::on_counting_ask(Asker asker, bool checks) {
    const GroupId group = asker.group;
    const auto place = checking_.emplace(group, asker.node, asker.answer.session());
    if (!place.second) {
        STARLING_MARK(entropy_still_checking);
        asker.answer.mutable_counting()->set_is_checking(true);
        return reply(asker);
    }
    runtime_.host.counting(
        group,
        checks,
        lifeline_.guard(
            [this, asker = std::move(asker)](absl::StatusOr<peer::EntropyCounting> counts) mutable {
                checking_.erase({asker.group, asker.node, asker.answer.session()});
                if (!counts.ok()) return fail(asker, counts.status());
                *asker.answer.mutable_counting() = *std::move(counts);
                reply(asker);
            }));
}

void Responder::on_summary(Asker asker) {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(asker.group);
    if (!own.ok()) return fail(asker, own.status());
    put_summary(*own, *asker.answer.mutable_summary());
    reply(asker);
}

void Responder::on_listing(Asker asker, const peer::EntropyListingAsk& ask) {
    const std::optional<BucketSet> buckets = decode_bucket_set(ask.buckets());
    if (!buckets.has_value() || buckets->none()) {
        return fail(asker, absl::InvalidArgumentError("no set of buckets"));
    }
    const GroupId group = asker.group;
    runtime_.groups.list_buckets(
        group,
        *buckets,
        ask.after(),
        runtime_.options.batch_bytes_max,
        lifeline_.guard([this, asker = std::move(asker)](absl::StatusOr<ListingPage> page) mutable {
            if (!page.ok()) return fail(asker, page.status());
            if (!page->up_to.empty()) STARLING_MARK(entropy_listing_page_full);
            put_listing(*std::move(page), *asker.answer.mutable_listing());
            reply(asker);
        }));
}

void Responder::on_fetch(Asker asker, const peer::EntropyFetch& fetch) {
    if (fetch.keys_size() == 0 || fetch.keys_size() > keys_per_fetch_max) {
        return fail(asker, absl::InvalidArgumentError("too many keys, or none"));
    }
    auto fetching = std::make_shared<Fetching>();
    fetching->asker = std::move(asker);
    fetching->keys.assign(fetch.keys().begin(), fetch.keys().end());
    fetching->asker.answer.mutable_fetched();
    fetch_some(fetching);
}

// True when the answer is full or complete. A record that does not fit any more is read again for
// the next question; a single one always fits.
bool Responder::add_records(Fetching& fetching, size_t key_count, std::vector<KeyRecord>& records) {
    peer::EntropyFetched& fetched = *fetching.asker.answer.mutable_fetched();
    const size_t end = fetching.done + key_count;
    for (KeyRecord& record : records) {
        if (fetching.bytes >= runtime_.options.batch_bytes_max) {
            STARLING_MARK(entropy_fetch_answer_full);
            fetched.set_key_count(static_cast<uint32_t>(fetching.done));
            return true;
        }
        peer::EntropyRecord* added = fetched.add_records();
        encode_record(*added->mutable_record(), record.record);
        // Keys before this one do not exist here.
        while (fetching.keys[fetching.done++] != record.key) {
        }
        added->set_key(std::move(record.key));
        fetching.bytes += size_of(*added);
    }
    fetching.done = end;
    fetched.set_key_count(static_cast<uint32_t>(end));
    return end == fetching.keys.size() || fetching.bytes >= runtime_.options.batch_bytes_max;
}

void Responder::fetch_some(const std::shared_ptr<Fetching>& fetching) {
    const size_t count = std::min(keys_per_read, fetching->keys.size() - fetching->done);
    const auto first = fetching->keys.begin() + static_cast<std::ptrdiff_t>(fetching->done);
    std::vector<std::string> keys(first, first + static_cast<std::ptrdiff_t>(count));
    const GroupId group = fetching->asker.group;
    runtime_.groups.fetch(
        group,
        std::move(keys),
        lifeline_.guard([this, fetching, count](absl::StatusOr<std::vector<KeyRecord>> records) {
            if (!records.ok()) return fail(fetching->asker, records.status());
            if (add_records(*fetching, count, *records)) return reply(fetching->asker);
            fetch_some(fetching);
        }));
}

void Responder::on_scan(Asker asker, const peer::EntropyScan& scan) {
    const GroupId group = asker.group;
    runtime_.groups.scan(
        group,
        {.from = scan.from()},
        runtime_.options.batch_bytes_max,
        lifeline_.guard([this, asker = std::move(asker)](absl::StatusOr<ScanPage> page) mutable {
            if (!page.ok()) return fail(asker, page.status());
            peer::EntropyScanned& scanned = *asker.answer.mutable_scanned();
            put_records(page->records, *scanned.mutable_records());
            scanned.set_next(std::move(page->next));
            reply(asker);
        }));
}

void Responder::on_groups(Asker asker, const peer::EntropyGroupsAsk& ask) {
    if (ask.has_fenced_seat()) {
        const bool is_seat = ask.fenced_seat() < seat_count_max;
        const base::SeatIndex seat(static_cast<uint8_t>(is_seat ? ask.fenced_seat() : 0));
        if (!is_seat || !runtime_.host.is_fenced_for(asker.group.partition, seat, asker.node)) {
            STARLING_MARK(entropy_difference_without_fence);
            return fail(asker, absl::UnavailableError("the seat is not fenced for who asks"));
        }
    }
    peer::EntropyGroups& groups = *asker.answer.mutable_groups();
    for (const GroupId group : runtime_.groups.groups_of(asker.group.partition)) {
        groups.add_replicas(group.replicas);
    }
    reply(asker);
}

uint64_t Responder::drops_of(GroupId group) const {
    return STARLING_PLANTED(drop_met_unnoticed) ? 0 : runtime_.groups.drop_count(group);
}

void Responder::reply(Asker& asker) {
    --serving_;
    const uint64_t drops = drops_of(asker.group);
    if (drops != asker.drops) {
        STARLING_MARK(entropy_answer_met_a_drop);
        // A frontier of before, say, would claim what is not there any more.
        asker.answer.mutable_failed()->set_code(static_cast<uint32_t>(absl::StatusCode::kAborted));
        asker.answer.mutable_failed()->set_message("the data of the group was removed meanwhile");
    }
    asker.answer.set_instance(life_ + drops);
    runtime_.send(asker.node, std::move(asker.answer));
}

void Responder::fail(Asker& asker, const absl::Status& status) {
    asker.answer.mutable_failed()->set_code(static_cast<uint32_t>(status.code()));
    asker.answer.mutable_failed()->set_message(std::string(status.message()));
    reply(asker);
}

}  // namespace starling::node
