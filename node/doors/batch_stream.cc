#include "node/doors/batch_stream.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "node/doors/convert.h"

namespace starling::node {

namespace {

// What a result takes besides its payload: receipt, dot, fields.
constexpr size_t result_overhead_bytes = 128;

absl::Status too_many_operations(size_t limit) {
    return base::make_error(absl::StatusCode::kInvalidArgument,
                            base::reason::request_too_large,
                            fmt::format("more than {} operations in one message", limit));
}

bool is_write(Method method) {
    return method != Method::get;
}

}  // namespace

bool BatchStreams::add(BatchStream& stream) {
    absl::MutexLock lock(&mutex_);
    streams_.insert(&stream);
    return !is_stopping_;
}

void BatchStreams::remove(BatchStream& stream) {
    absl::MutexLock lock(&mutex_);
    streams_.erase(&stream);
}

void BatchStreams::stop_all() {
    std::vector<BatchStream*> stopped;
    {
        absl::MutexLock lock(&mutex_);
        is_stopping_ = true;
        stopped.assign(streams_.begin(), streams_.end());
        for (BatchStream* stream : stopped) {
            stream->begin_stop();
        }
    }
    // Without the lock: ending a stream removes it from the set.
    for (BatchStream* stream : stopped) {
        stream->act();
    }
}

void BatchStream::AnswerAbandoned::operator()(SubCall* sub) const {
    SubCallPtr owned(sub);
    owned->stream->complete<PutResult>(std::move(owned), abandoned_error());
}

BatchStream::BatchStream(CallContext& context,
                         BatchStreams& streams,
                         grpc::CallbackServerContext& call)
    : context_(context),
      streams_(streams),
      call_(call),
      started_(std::chrono::steady_clock::now()),
      get_bytes_expected_(context.options.batch_bytes_in_flight_max / 16) {
    context_.metrics.batch_streams.fetch_add(1, std::memory_order_relaxed);
    fresh_request();
    {
        absl::MutexLock lock(&mutex_);
        ++acting_;
    }
    if (!streams_.add(*this)) {
        absl::MutexLock lock(&mutex_);
        is_stopping_ = true;
    }
    act();
}

void BatchStream::begin_stop() {
    absl::MutexLock lock(&mutex_);
    is_stopping_ = true;
    ++acting_;
}

void BatchStream::OnReadDone(bool ok) {
    std::vector<SubCallPtr> parsed;
    if (ok) {
        const auto limit = static_cast<int>(context_.options.batch_operations_per_message_max);
        parsed.reserve(static_cast<size_t>(incoming_->operations_size()));
        for (int i = 0; i < incoming_->operations_size(); ++i) {
            parsed.push_back(parse(*incoming_->mutable_operations(i), i >= limit));
        }
        fresh_request();
    }
    {
        absl::MutexLock lock(&mutex_);
        is_reading_ = false;
        is_read_closed_ = is_read_closed_ || !ok;
        for (SubCallPtr& sub : parsed) {
            if (std::holds_alternative<std::monostate>(sub->request)) {
                ++unsent_;
                ready_.push_back(std::move(sub));
            } else {
                waiting_.push_back(std::move(sub));
            }
        }
        ++acting_;
    }
    act();
}

void BatchStream::OnWriteDone(bool ok) {
    size_t bytes = 0;
    for (const SubCallPtr& sub : being_written_) {
        bytes += sub->charged_bytes;
        if (sub->is_admitted) {
            context_.admission.release(sub->admitted_bytes);
        }
    }
    const size_t count = being_written_.size();
    being_written_.clear();
    write_arena_.Reset();
    {
        absl::MutexLock lock(&mutex_);
        is_writing_ = false;
        unsent_ -= count;
        held_bytes_ -= bytes;
        is_cancelled_ = is_cancelled_ || !ok;
        ++acting_;
    }
    act();
}

void BatchStream::OnCancel() {
    {
        absl::MutexLock lock(&mutex_);
        is_cancelled_ = true;
        ++acting_;
    }
    act();
}

void BatchStream::OnDone() {
    streams_.remove(*this);
    context_.metrics.batch_streams.fetch_sub(1, std::memory_order_relaxed);
    context_.metrics.record(Method::batch, code_, std::chrono::steady_clock::now() - started_);
    delete this;
}

void BatchStream::act() {
    for (;;) {
        Actions actions;
        bool was_cancelled = false;
        bool was_stopped = false;
        {
            absl::MutexLock lock(&mutex_);
            actions = choose();
            if (actions.is_none()) {
                --acting_;
                if (!is_finished()) {
                    return;
                }
                has_ended_ = true;
                was_cancelled = is_cancelled_;
                was_stopped = is_stopping_ && !is_read_closed_;
            }
        }
        if (actions.is_none()) {
            if (was_cancelled) {
                code_ = absl::StatusCode::kCancelled;
                Finish(grpc::Status::CANCELLED);
            } else if (was_stopped) {
                code_ = absl::StatusCode::kUnavailable;
                Finish(to_grpc_status(call_, stopping_error(), false));
            } else {
                Finish(grpc::Status::OK);
            }
            return;
        }
        for (SubCallPtr& sub : actions.dispatch) {
            dispatch(std::move(sub));
        }
        if (!actions.write.empty()) {
            start_write(std::move(actions.write));
        }
        if (actions.read) {
            StartRead(incoming_);
        }
    }
}

bool BatchStream::has_room() const {
    if (in_flight_ + unsent_ == 0) {
        return true;
    }
    return in_flight_ + unsent_ < context_.options.batch_requests_in_flight_max &&
           held_bytes_ < context_.options.batch_bytes_in_flight_max;
}

bool BatchStream::is_finished() const {
    const bool is_over = is_read_closed_ || is_stopping_ || is_cancelled_;
    return is_over && !has_ended_ && acting_ == 0 && in_flight_ == 0 && unsent_ == 0 &&
           waiting_.empty() && !is_writing_;
}

void BatchStream::drop_all() {
    waiting_.clear();
    for (const SubCallPtr& sub : ready_) {
        held_bytes_ -= sub->charged_bytes;
        if (sub->is_admitted) {
            context_.admission.release(sub->admitted_bytes);
        }
    }
    unsent_ -= ready_.size();
    ready_.clear();
}

BatchStream::Actions BatchStream::choose() {
    Actions actions;
    if (has_ended_) {
        return actions;
    }
    if (is_cancelled_) {
        drop_all();
        return actions;
    }
    while (!waiting_.empty() && has_room()) {
        SubCall& sub = *waiting_.front();
        if (sub.method == Method::get) {
            sub.charged_bytes += get_bytes_expected_;
        }
        held_bytes_ += sub.charged_bytes;
        ++in_flight_;
        actions.dispatch.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
    }
    if (!is_writing_ && !ready_.empty()) {
        size_t bytes = 0;
        size_t count = 0;
        while (count < ready_.size() && bytes < context_.options.batch_message_bytes_target) {
            bytes += ready_[count++]->charged_bytes + result_overhead_bytes;
        }
        const auto end = ready_.begin() + static_cast<std::ptrdiff_t>(count);
        actions.write.assign(std::make_move_iterator(ready_.begin()), std::make_move_iterator(end));
        ready_.erase(ready_.begin(), end);
        is_writing_ = true;
    }
    if (!is_reading_ && !is_read_closed_ && !is_stopping_ && waiting_.empty() && has_room()) {
        is_reading_ = true;
        actions.read = true;
    }
    return actions;
}

BatchStream::SubCallPtr BatchStream::parse(v1::BatchOperation& operation, bool is_excess) {
    auto sub = std::make_unique<SubCall>();
    sub->stream = this;
    sub->number = operation.number();
    sub->started = std::chrono::steady_clock::now();
    const RequestLimits& limits = context_.options.requests;
    const auto keep = [&sub](auto request) {
        if (request.ok()) {
            sub->charged_bytes = payload_bytes(*request);
            sub->request = *std::move(request);
        } else {
            sub->result = std::move(request).status();
        }
    };
    switch (operation.operation_case()) {
        case v1::BatchOperation::kPut:
            sub->method = Method::put;
            keep(take_put(*operation.mutable_put(), limits, context_.request_ids));
            break;
        case v1::BatchOperation::kGet:
            sub->method = Method::get;
            keep(take_get(*operation.mutable_get(), limits));
            break;
        case v1::BatchOperation::kDelete:
            sub->method = Method::remove;
            keep(take_delete(*operation.mutable_delete_(), limits, context_.request_ids));
            break;
        case v1::BatchOperation::OPERATION_NOT_SET:
            sub->result = base::make_error(absl::StatusCode::kInvalidArgument,
                                           base::reason::invalid_request,
                                           "operation: none of put, get and delete is set");
            break;
    }
    if (is_excess) {
        sub->request = std::monostate();
        sub->charged_bytes = 0;
        sub->result = too_many_operations(context_.options.batch_operations_per_message_max);
    }
    if (const auto* error = std::get_if<absl::Status>(&sub->result)) {
        record(*sub, error->code());
    }
    return sub;
}

void BatchStream::dispatch(SubCallPtr sub) {
    const bool is_get = sub->method == Method::get;
    RequestOptions& options = is_get ? std::get<GetRequest>(sub->request).options
                                     : std::get<PutRequest>(sub->request).options;
    absl::Status status = context_.is_stopping.load(std::memory_order_acquire)
                              ? stopping_error()
                              : limit_deadline(call_, options.deadline);
    if (status.ok()) {
        const size_t bytes = is_get ? payload_bytes(std::get<GetRequest>(sub->request))
                                    : payload_bytes(std::get<PutRequest>(sub->request));
        status = context_.admission.admit(bytes);
        sub->is_admitted = status.ok();
        sub->admitted_bytes = bytes;
    }
    if (!status.ok()) {
        complete<PutResult>(std::move(sub), std::move(status));
        return;
    }
    SubCall& call = *sub;
    SubCallHandle handle(sub.release());
    const auto done = [](SubCallHandle& owner, auto result) {
        SubCallPtr finished(owner.release());
        BatchStream* stream = finished->stream;
        stream->complete(std::move(finished), std::move(result));
    };
    if (is_get) {
        context_.kv.get(
            std::get<GetRequest>(std::move(call.request)),
            [handle = std::move(handle), done](absl::StatusOr<GetResult> result) mutable {
                done(handle, std::move(result));
            });
    } else {
        context_.kv.put(
            std::get<PutRequest>(std::move(call.request)),
            [handle = std::move(handle), done](absl::StatusOr<PutResult> result) mutable {
                done(handle, std::move(result));
            });
    }
}

template <typename Result>
void BatchStream::complete(SubCallPtr sub, absl::StatusOr<Result> result) {
    record(*sub, result.status().code());
    size_t bytes = 0;
    if (result.ok()) {
        bytes = payload_bytes(*result);
        sub->result = *std::move(result);
    } else {
        sub->result = std::move(result).status();
    }
    if (sub->is_admitted) {
        context_.admission.grow(bytes);
        sub->admitted_bytes += bytes;
    }
    completed(std::move(sub), bytes);
}

void BatchStream::completed(SubCallPtr sub, size_t result_bytes) {
    {
        absl::MutexLock lock(&mutex_);
        --in_flight_;
        held_bytes_ -= sub->charged_bytes;
        sub->charged_bytes = result_bytes;
        held_bytes_ += result_bytes;
        if (std::holds_alternative<GetResult>(sub->result)) {
            learn_get_bytes(result_bytes);
        }
        ++unsent_;
        ready_.push_back(std::move(sub));
        ++acting_;
    }
    act();
}

// Rises at once and falls slowly: an estimate too low costs memory, one too high a little speed.
void BatchStream::learn_get_bytes(size_t bytes) {
    get_bytes_expected_ = std::max(bytes, get_bytes_expected_ - get_bytes_expected_ / 8);
}

void BatchStream::start_write(std::vector<SubCallPtr> results) {
    being_written_ = std::move(results);
    auto* message = google::protobuf::Arena::CreateMessage<v1::BatchResponse>(&write_arena_);
    message->mutable_results()->Reserve(static_cast<int>(being_written_.size()));
    for (const SubCallPtr& sub : being_written_) {
        write_result(*message->add_results(), *sub);
    }
    StartWrite(message);
}

void BatchStream::write_result(v1::BatchResult& out, SubCall& sub) {
    out.set_number(sub.number);
    if (auto* put = std::get_if<PutResult>(&sub.result)) {
        fill(*out.mutable_write(), std::move(*put));
    } else if (auto* get = std::get_if<GetResult>(&sub.result)) {
        fill(*out.mutable_get(), std::move(*get));
    } else {
        fill(*out.mutable_error(),
             to_detail(std::get<absl::Status>(sub.result), is_write(sub.method)));
    }
}

void BatchStream::record(const SubCall& sub, absl::StatusCode code) {
    context_.metrics.record(sub.method, code, std::chrono::steady_clock::now() - sub.started);
}

void BatchStream::fresh_request() {
    read_arena_.Reset();
    incoming_ = google::protobuf::Arena::CreateMessage<v1::BatchRequest>(&read_arena_);
}

}  // namespace starling::node
