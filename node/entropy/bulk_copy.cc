#include "node/entropy/bulk_copy.h"

#include <utility>

#include "base/mark.h"
#include "node/entropy/records.h"

namespace starling::node {

BulkCopy::BulkCopy(EntropyRuntime& runtime, GroupId group, base::NodeId peer, Done done)
    : runtime_(runtime),
      group_(group),
      exchange_(runtime, peer),
      done_(std::move(done)),
      cursor_(runtime.groups.copied_up_to(group)) {
    if (!cursor_.empty()) STARLING_MARK(entropy_copy_goes_on);
}

void BulkCopy::ask_page() {
    peer::EntropyMessage question;
    question.mutable_scan()->set_from(cursor_);
    exchange_.ask(group_,
                  std::move(question),
                  peer::EntropyMessage::kScanned,
                  [this](const absl::Status& status, const peer::EntropyMessage* answer) {
                      if (!status.ok()) return finish(status);
                      on_page(answer->scanned());
                  });
}

void BulkCopy::on_page(const peer::EntropyScanned& page) {
    absl::StatusOr<std::vector<KeyRecord>> records = read_records(page.records());
    if (!records.ok()) return finish(records.status());
    const bool is_last = page.next().empty();
    // Ascending, so that the paging ends.
    if (!is_last && page.next() <= cursor_) {
        return finish(absl::InvalidArgumentError("a scan that does not advance"));
    }
    STARLING_MARK(entropy_copies_a_page);
    cursor_ = page.next();
    records_ += records->size();
    runtime_.counters.records_pulled += records->size();
    for (const peer::EntropyRecord& record : page.records()) {
        runtime_.counters.bytes_pulled += size_of(record);
    }
    runtime_.groups.copy_records(group_,
                                 *std::move(records),
                                 cursor_,
                                 lifeline_.guard([this, is_last](const absl::Status& status) {
                                     if (!status.ok() || is_last) return finish(status);
                                     ask_page();
                                 }));
}

void BulkCopy::finish(absl::Status status) {
    Done done = std::move(done_);
    if (status.ok()) {
        done(records_);
    } else {
        done(std::move(status));
    }
}

}  // namespace starling::node
