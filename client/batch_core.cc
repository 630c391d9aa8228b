#include "client/batch_core.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "client/error.h"
#include "client/kv_requests.h"
#include "client/try_result.h"

namespace starling::client {

namespace {

// One message: a quarter of what a node takes of a stream at once, so that its work and its reading
// overlap.
constexpr int message_operations_max = 256;
// What a node takes in one message is 256 KiB more than its limits on keys and values, so more than
// this whatever they are. The rest is for the one session token of an operation that fills it.
constexpr size_t message_bytes_max = size_t{192} << 10;

bool is_read(const v1::BatchOperation& operation) {
    return operation.has_get();
}

v1::RequestOptions& options_of(v1::BatchOperation& operation) {
    if (operation.has_put()) {
        return *operation.mutable_put()->mutable_options();
    }
    return operation.has_get() ? *operation.mutable_get()->mutable_options()
                               : *operation.mutable_delete_()->mutable_options();
}

SessionOfRequest attach(SessionMarks& session, v1::BatchOperation& operation) {
    if (operation.has_put()) {
        return {session, *operation.mutable_put()};
    }
    return operation.has_get() ? SessionOfRequest(session, *operation.mutable_get())
                               : SessionOfRequest(session, *operation.mutable_delete_());
}

Failure late(std::string_view what, bool may_have_begun) {
    return {.status =
                base::make_error(absl::StatusCode::kDeadlineExceeded, base::reason::deadline, what),
            .may_have_begun = may_have_begun,
            .is_endpoint_down = true};
}

}  // namespace

size_t payload_bytes(const v1::BatchOperation& operation) {
    if (operation.has_put()) {
        const v1::PutRequest& put = operation.put();
        return put.key().size() + put.value().size() + put.context().size();
    }
    return operation.has_get()
               ? operation.get().key().size()
               : operation.delete_().key().size() + operation.delete_().context().size();
}

bool BatchCore::has_room(size_t bytes) const {
    return entries_.empty() || (entries_.size() < parameters_.limits.operations_max &&
                                bytes_ + bytes <= parameters_.limits.bytes_max);
}

uint64_t BatchCore::add(v1::BatchOperation operation,
                        base::Duration deadline,
                        base::MonotonicTime now) {
    const uint64_t index = next_index_++;
    const size_t bytes = payload_bytes(operation);
    const bool is_alone = bytes > message_bytes_max;
    const Repeat repeat = is_read(operation) ? Repeat::harmless : Repeat::same_write;
    entries_.emplace(
        index,
        Entry{.operation = std::move(operation),
              .bytes = bytes,
              .give_up_at = now + deadline,
              .retry =
                  RetryCore(parameters_.retry, repeat, parameters_.endpoint_count, now + deadline),
              .is_read = repeat == Repeat::harmless,
              .is_alone = is_alone,
              .number = 0,
              .try_until = {}});
    bytes_ += bytes;
    (is_alone ? alone_ : queued_).push_back(index);
    return index;
}

void BatchCore::fill(v1::BatchRequest& message, base::MonotonicTime now) {
    size_t bytes = 0;
    while (!queued_.empty() && message.operations_size() < message_operations_max) {
        const uint64_t index = queued_.front();
        const auto found = entries_.find(index);
        if (found == entries_.end()) {
            queued_.pop_front();
            continue;
        }
        Entry& entry = found->second;
        const base::Duration time = entry.retry.try_time(now);
        entry.operation.set_number(next_number_);
        options_of(entry.operation).set_deadline_ms(node_deadline_ms(time));
        if (session_ != nullptr) {
            entry.session = attach(*session_, entry.operation);
        }
        bytes += entry.operation.ByteSizeLong();
        if (message.operations_size() > 0 && bytes > message_bytes_max) {
            return;
        }
        queued_.pop_front();
        entry.number = next_number_++;
        entry.try_until = now + time;
        sent_.emplace(entry.number, index);
        *message.add_operations() = entry.operation;
    }
}

std::optional<BatchCore::Alone> BatchCore::take_alone(base::MonotonicTime now) {
    if (alone_.empty()) {
        return std::nullopt;
    }
    const uint64_t index = alone_.front();
    alone_.pop_front();
    Entry& entry = entries_.at(index);
    // Zero would be the client's own.
    const base::Duration left = std::max(entry.give_up_at - now, base::Duration(1));
    return Alone{.index = index, .operation = std::move(entry.operation), .deadline = left};
}

void BatchCore::on_alone_end(uint64_t index, BatchAnswer answer) {
    if (entries_.contains(index)) {
        this->answer(index, std::move(answer));
    }
}

void BatchCore::on_results(v1::BatchResponse& response, base::MonotonicTime now) {
    for (v1::BatchResult& result : *response.mutable_results()) {
        const auto sent = sent_.find(result.number());
        if (sent == sent_.end()) {
            continue;
        }
        const uint64_t index = sent->second;
        sent_.erase(sent);
        const Entry& entry = entries_.at(index);
        if (entry.session.has_value()) {
            entry.session->learn(entry.is_read ? result.get().session() : result.write().session());
        }
        if (result.has_error() && result.error().code() != 0) {
            fail(index, to_failure(result.error()), now);
        } else if (result.has_write() && !entry.is_read) {
            answer(index, {.write = std::move(*result.mutable_write())});
        } else if (result.has_get() && entry.is_read) {
            answer(index, {.get = std::move(*result.mutable_get())});
        } else {
            fail(index,
                 {.status = absl::InternalError("the node's answer is not one to what was asked")},
                 now);
        }
    }
}

void BatchCore::on_stream_end(const Failure& failure, base::MonotonicTime now) {
    std::vector<uint64_t> indexes;
    for (const auto& [number, index] : std::exchange(sent_, {})) {
        indexes.push_back(index);
    }
    // The order in which they were begun, and not that of a hashed container.
    std::sort(indexes.begin(), indexes.end());
    for (const uint64_t index : indexes) {
        fail(index, failure, now);
    }
}

bool BatchCore::on_tick(base::MonotonicTime now) {
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
        queued_.push_back(waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
    }
    bool is_silent = false;
    std::vector<std::pair<uint64_t, bool>> ended;
    for (const auto& [index, entry] : entries_) {
        if (entry.is_alone) {
            continue;
        }
        const bool is_sent = entry.number != 0;
        if (now >= (is_sent ? entry.try_until : entry.give_up_at)) {
            ended.emplace_back(index, is_sent);
        }
    }
    for (const auto& [index, was_sent] : ended) {
        const Entry& entry = entries_.at(index);
        sent_.erase(entry.number);
        if (was_sent) {
            is_silent = true;
            fail(index, late("the node did not answer in time", true), now);
        } else if (entry.retry.tries() > 0) {
            // What kept it so long says more than that it was long.
            answer(index, {.status = entry.retry.result()});
        } else {
            fail(index, late("no node took it in time", false), now);
        }
    }
    return is_silent;
}

void BatchCore::cancel_all() {
    while (!entries_.empty()) {
        const auto& [index, entry] = *entries_.begin();
        absl::Status status = absl::CancelledError("the batch has ended");
        const bool may_exist = entry.number != 0 || entry.retry.tries() > 0 || entry.is_alone;
        if (may_exist && !entry.is_read) {
            status = with_outcome_unknown(std::move(status));
        }
        answer(index, {.status = std::move(status)});
    }
    queued_.clear();
    alone_.clear();
    waiting_.clear();
    sent_.clear();
}

void BatchCore::fail(uint64_t index, const Failure& failure, base::MonotonicTime now) {
    Entry& entry = entries_.at(index);
    entry.number = 0;
    const auto wait = entry.retry.fail(failure, now, random_);
    if (!wait.has_value()) {
        answer(index, {.status = entry.retry.result()});
    } else if (*wait == base::Duration::zero()) {
        queued_.push_back(index);
    } else {
        waiting_.emplace(now + *wait, index);
    }
}

void BatchCore::answer(uint64_t index, BatchAnswer answer) {
    const auto entry = entries_.find(index);
    STARLING_CHECK(entry != entries_.end());
    bytes_ -= entry->second.bytes;
    entries_.erase(entry);
    answer.index = index;
    answers_.push_back(std::move(answer));
}

}  // namespace starling::client
