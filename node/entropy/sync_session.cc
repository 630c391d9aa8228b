#include "node/entropy/sync_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
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
    absl::StatusOr<GroupSummary> theirs = read_summary(message);
    if (!theirs.ok()) return finish(theirs.status());
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return finish(own.status());
    theirs_ = *std::move(theirs);
    const bool is_ahead =
        own->frontier.contains(theirs_.frontier) && own->frontier != theirs_.frontier;
    if (mode_ == Mode::hasty && is_ahead) {
        STARLING_MARK(entropy_peer_is_only_behind);
        result_.is_peer_behind = true;
        return finish(absl::OkStatus());
    }
    for (size_t bucket = bucket_count; bucket-- > 0;) {
        if (own->buckets[bucket] != theirs_.buckets[bucket]) {
            buckets_.push_back(bucket);
        }
    }
    next_bucket();
}

void SyncSession::next_bucket() {
    if (buckets_.empty()) return unite();
    after_.clear();
    runtime_.groups.list_bucket(
        group_,
        buckets_.back(),
        lifeline_.guard([this](absl::StatusOr<std::vector<KeyDigest>> keys) {
            if (!keys.ok()) return finish(keys.status());
            on_own_keys(*std::move(keys));
        }));
}

void SyncSession::on_own_keys(std::vector<KeyDigest> keys) {
    own_keys_.clear();
    for (KeyDigest& key : keys) {
        own_keys_.emplace(std::move(key.key), key.digest);
    }
    ask_page();
}

void SyncSession::ask_page() {
    peer::EntropyMessage question;
    question.mutable_bucket_ask()->set_bucket(static_cast<uint32_t>(buckets_.back()));
    question.mutable_bucket_ask()->set_after(after_);
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kBucket,
                  [this](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_page(answer->bucket());
                  });
}

void SyncSession::on_page(const peer::EntropyBucket& page) {
    wanted_.clear();
    wanted_done_ = 0;
    if (page.keys_size() != page.digests_size() || (page.has_more() && page.keys_size() == 0)) {
        return finish(absl::InvalidArgumentError("a bucket page that does not add up"));
    }
    for (int i = 0; i < page.keys_size(); ++i) {
        const std::string& key = page.keys(i);
        // Ascending, so that the paging ends.
        if (key <= after_ || bucket_of(key) != buckets_.back()) {
            return finish(absl::InvalidArgumentError("a bucket page out of order"));
        }
        after_ = key;
        const auto own = own_keys_.find(key);
        if (own == own_keys_.end() || own->second != page.digests(i)) {
            wanted_.push_back(key);
        }
    }
    has_more_ = page.has_more();
    fetch();
}

void SyncSession::fetch() {
    if (wanted_done_ == wanted_.size()) {
        if (has_more_) {
            STARLING_MARK(entropy_next_page_of_bucket);
            return ask_page();
        }
        buckets_.pop_back();
        return next_bucket();
    }
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
    if (records->empty()) return fetch();
    result_.records += records->size();
    runtime_.counters.records_pulled += records->size();
    for (const peer::EntropyRecord& record : fetched.records()) {
        runtime_.counters.bytes_pulled += size_of(record);
    }
    runtime_.groups.merge_records(
        group_, *std::move(records), lifeline_.guard([this](const absl::Status& status) {
            if (!status.ok()) return finish(status);
            fetch();
        }));
}

void SyncSession::unite() {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return finish(own.status());
    if (own->frontier.contains(theirs_.frontier)) return finish_pulled();
    STARLING_MARK(entropy_unites_frontier);
    runtime_.groups.unite_frontier(
        group_, theirs_.frontier, lifeline_.guard([this](const absl::Status& status) {
            if (!status.ok()) return finish(status);
            finish_pulled();
        }));
}

void SyncSession::finish_pulled() {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(group_);
    if (!own.ok()) return finish(own.status());
    result_.is_peer_behind = own->frontier != theirs_.frontier || own->buckets != theirs_.buckets;
    finish(absl::OkStatus());
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
