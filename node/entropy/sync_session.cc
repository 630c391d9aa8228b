#include "node/entropy/sync_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "node/entropy/records.h"

namespace starling::node {

namespace {

constexpr size_t keys_per_fetch_max = 512;
constexpr size_t key_bytes_per_fetch_max = 128 << 10;

}  // namespace

SyncSession::SyncSession(
    EntropyRuntime& runtime, GroupId group, base::NodeId peer, Mode mode, Done done)
    : runtime_(runtime),
      group_(group),
      mode_(mode),
      exchange_(runtime, peer),
      done_(std::move(done)) {}

void SyncSession::start() {
    ++runtime_.counters.sessions;
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return finish(own.status());
    own_ = own->frontier;
    ask_missing();
}

void SyncSession::ask_missing() {
    peer::EntropyMessage question;
    own_.encode(*question.mutable_missing_ask()->mutable_frontier());
    question.mutable_missing_ask()->set_after(after_dot_);
    question.mutable_missing_ask()->set_fills(mode_ == Mode::fill);
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kMissing,
                  [this](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_missing(answer->missing());
                  });
}

void SyncSession::on_missing(const peer::EntropyMissing& message) {
    absl::StatusOr<MissingPage> page = read_missing(message);
    if (!page.ok()) return finish(page.status());
    // Ascending, so that the paging ends.
    const absl::StatusOr<std::optional<Dot>> after = read_cursor(after_dot_);
    const std::vector<IndexedDots::Entry>& dots = page->dots.entries;
    const auto not_after_the_one_before = [](const auto& a, const auto& b) {
        return !(a.dot < b.dot);
    };
    const bool advances =
        std::adjacent_find(dots.begin(), dots.end(), not_after_the_one_before) == dots.end() &&
        (dots.empty() || !after.ok() || !after->has_value() || **after < dots.front().dot);
    if (!advances || (page->has_more && dots.empty())) {
        return finish(absl::InvalidArgumentError("a page of missing writes that does not advance"));
    }
    if (after_dot_.empty()) {
        // The first: later ones may have dots of which the pages before do not speak.
        theirs_ = std::move(page->frontier);
    }
    for (const IndexedDots::Entry& entry : dots)
        brought_.add(entry.dot);
    if (!dots.empty()) {
        after_dot_ = encode(dots.back().dot);
    }
    count_pulled(message.records());
    runtime_.groups.merge_records(
        group_,
        std::move(page->records),
        std::move(page->dots),
        lifeline_.guard([this, has_more = page->has_more](const absl::Status& status) {
            if (!status.ok()) return finish(status);
            if (has_more) {
                STARLING_MARK(entropy_next_page_of_missing);
                return ask_missing();
            }
            end_pages();
        }));
}

absl::StatusOr<bool> SyncSession::has_lost_something() const {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return own.status();
    // What came another way meanwhile may be in the peer's index no more.
    Frontier known = own->frontier;
    known.unite(brought_);
    return !theirs_.minus(known).empty();
}

void SyncSession::end_pages() {
    if (mode_ != Mode::fill && !STARLING_PLANTED(index_not_written) &&
        runtime_.host.is_owner(group_)) {
        const absl::StatusOr<bool> has_lost = has_lost_something();
        if (!has_lost.ok()) return finish(has_lost.status());
        if (*has_lost) {
            STARLING_MARK(entropy_lacks_what_all_had_seen);
            EntropyHost& host = runtime_.host;
            const GroupId group = group_;
            finish(absl::DataLossError("what all owners had seen is missing here"));
            return host.lacks_what_all_had_seen(group);
        }
    }
    if (mode_ == Mode::dots && !brings_seals()) return unite();
    ask_summary();
}

bool SyncSession::brings_seals() const {
    if (STARLING_PLANTED(seal_without_its_values)) return false;
    return std::ranges::any_of(theirs_.sealed(), [this](const auto& sealed) {
        return own_.sealed_before(sealed.first) < sealed.second;
    });
}

void SyncSession::ask_summary() {
    peer::EntropyMessage question;
    question.mutable_summary_ask();
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kSummary,
                  [this](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_summary(answer->summary());
                  });
}

void SyncSession::on_summary(const peer::EntropySummary& message) {
    const absl::StatusOr<GroupSummary> theirs = read_summary(message);
    if (!theirs.ok()) return finish(theirs.status());
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return finish(own.status());
    const size_t compared =
        STARLING_PLANTED(last_bucket_not_compared) ? bucket_count - 1 : bucket_count;
    BucketSet differing;
    for (size_t bucket = 0; bucket < compared; ++bucket) {
        differing.set(bucket, own->buckets[bucket] != theirs->buckets[bucket]);
    }
    if (differing.none()) return unite();
    listings_.emplace(differing);
    compare_listings();
}

void SyncSession::compare_listings() {
    using Side = ListingDiff::Side;
    if (listings_->is_done()) return unite();
    if (listings_->wants_page_of(Side::own)) return list_own();
    if (listings_->wants_page_of(Side::theirs)) return ask_listing();
    wanted_ = listings_->take_differing();
    wanted_done_ = 0;
    fetch();
}

void SyncSession::list_own() {
    runtime_.groups.list_buckets(group_,
                                 listings_->buckets(),
                                 listings_->after(ListingDiff::Side::own),
                                 runtime_.options.batch_bytes_max,
                                 lifeline_.guard([this](absl::StatusOr<ListingPage> page) {
                                     on_listing(ListingDiff::Side::own, std::move(page));
                                 }));
}

void SyncSession::ask_listing() {
    const std::string& after = listings_->after(ListingDiff::Side::theirs);
    if (!after.empty()) STARLING_MARK(entropy_next_page_of_listing);
    peer::EntropyMessage question;
    question.mutable_listing_ask()->set_buckets(encode(listings_->buckets()));
    question.mutable_listing_ask()->set_after(after);
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kListing,
                  [this](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_listing(ListingDiff::Side::theirs, read_listing(answer->listing()));
                  });
}

void SyncSession::on_listing(ListingDiff::Side side, absl::StatusOr<ListingPage> page) {
    if (!page.ok()) return finish(page.status());
    if (absl::Status status = listings_->add(side, *std::move(page)); !status.ok()) {
        return finish(std::move(status));
    }
    compare_listings();
}

void SyncSession::fetch() {
    if (wanted_done_ == wanted_.size()) return compare_listings();
    peer::EntropyMessage question;
    size_t asked = 0;
    size_t bytes = 0;
    while (wanted_done_ + asked < wanted_.size() && asked < keys_per_fetch_max &&
           bytes < key_bytes_per_fetch_max) {
        const std::string& key = wanted_[wanted_done_ + asked];
        question.mutable_fetch()->add_keys(key);
        bytes += key.size();
        ++asked;
    }
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kFetched,
                  [this, asked](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_fetched(answer->fetched(), asked);
                  });
}

void SyncSession::on_fetched(const peer::EntropyFetched& fetched, size_t asked) {
    const size_t answered = fetched.key_count();
    if (answered == 0 || answered > asked ||
        static_cast<size_t>(fetched.records_size()) > answered) {
        return finish(absl::InvalidArgumentError("an answer of another size than asked for"));
    }
    absl::StatusOr<std::vector<KeyRecord>> records = read_records(fetched.records());
    if (!records.ok()) return finish(records.status());
    const auto first = wanted_.begin() + static_cast<std::ptrdiff_t>(wanted_done_);
    const auto last = first + static_cast<std::ptrdiff_t>(answered);
    for (const KeyRecord& record : *records) {
        if (!std::binary_search(first, last, record.key)) {
            return finish(absl::InvalidArgumentError("a record that was not asked for"));
        }
    }
    wanted_done_ += answered;
    count_pulled(fetched.records());
    auto merged = lifeline_.guard([this](const absl::Status& status) {
        if (!status.ok()) return finish(status);
        fetch();
    });
    if (mode_ == Mode::fill && !STARLING_PLANTED(fill_keeps_collected)) {
        STARLING_MARK(entropy_fill_takes_givers_word);
        runtime_.groups.take_over(
            group_, std::vector<std::string>(first, last), *std::move(records), theirs_, merged);
    } else if (records->empty()) {
        fetch();
    } else {
        runtime_.groups.merge_records(group_, *std::move(records), {}, merged);
    }
}

void SyncSession::count_pulled(
    const google::protobuf::RepeatedPtrField<peer::EntropyRecord>& records) {
    result_.records += static_cast<uint64_t>(records.size());
    runtime_.counters.records_pulled += static_cast<uint64_t>(records.size());
    for (const peer::EntropyRecord& record : records) {
        runtime_.counters.bytes_pulled += size_of(record);
    }
}

void SyncSession::unite() {
    runtime_.groups.unite_frontier(
        group_, theirs_, lifeline_.guard([this](const absl::Status& status) { finish(status); }));
}

void SyncSession::finish(absl::Status status) {
    Done done = std::move(done_);
    if (status.ok()) {
        done(result_);
        return;
    }
    STARLING_MARK(entropy_session_failed);
    ++runtime_.counters.sessions_failed;
    done(std::move(status));
}

}  // namespace starling::node
