#include "client/batch.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include <fmt/format.h>
#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include "base/error.h"
#include "client/batch_core.h"
#include "client/core.h"
#include "client/kv_requests.h"
#include "client/try_result.h"
#include "env/posix/backoff.h"

namespace starling::client {

namespace {

constexpr size_t operations_limit = 1u << 16;
// How exactly pauses and deadlines are kept.
constexpr base::Duration tick_interval = std::chrono::milliseconds(10);

void cancel(const std::weak_ptr<Cancellable>& request) {
    if (const auto running = request.lock()) {
        running->cancel();
    }
}

void fill(BatchAnswer& answer, v1::WriteResponse&& response) {
    answer.write = std::move(response);
}

void fill(BatchAnswer& answer, v1::GetResponse&& response) {
    answer.get = std::move(response);
}

}  // namespace

absl::Status check_options(const BatchOptions& options) {
    if (options.operations_max < 1 || options.operations_max > operations_limit) {
        return absl::InvalidArgumentError(fmt::format("operations_max: 1 to {}", operations_limit));
    }
    if (options.bytes_max == 0) {
        return absl::InvalidArgumentError("bytes_max: must be above 0");
    }
    return absl::OkStatus();
}

// gRPC may call back before a call into it returns, so none is made under the lock: a step chooses
// under the lock (`act`), and then does what it chose.
class Batch::Impl final : public std::enable_shared_from_this<Impl> {
  public:
    Impl(Core& core, const BatchOptions& options, OnAnswer on_answer)
        : client_(core),
          on_answer_(std::move(on_answer)),
          core_({.retry = core.options.retry,
                 .limits = options,
                 .endpoint_count = static_cast<uint32_t>(core.endpoints.count())},
                core.random,
                core.options.read_your_writes ? &core.session : nullptr),
          backoff_(core.options.retry.backoff_first, core.options.retry.backoff_max) {}

    Core& client() { return client_; }
    uint64_t add(v1::BatchOperation operation, base::Duration deadline);
    void wait();
    void stop();

  private:
    // One call of Batch, on one connection. It keeps itself until gRPC has done with it.
    class Stream;
    using StreamPtr = std::shared_ptr<Stream>;

    struct Step {
        StreamPtr open;
        StreamPtr write;
        std::optional<BatchCore::Alone> alone = std::nullopt;
        bool arms_timer = false;
        bool is_none() const {
            return open == nullptr && write == nullptr && !alone.has_value() && !arms_timer;
        }
    };

    void act();
    Step choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    void deliver();
    // A step with the stream has ended: lets gRPC end the stream when it was the last one.
    void release(Stream& stream);
    void arm_timer();
    void on_timer();
    void send_alone(BatchCore::Alone alone);
    void on_alone(uint64_t index, BatchAnswer answer);
    // From the stream, on gRPC's threads.
    bool on_read(Stream& stream, bool ok);
    void on_written(Stream& stream, bool ok);
    void on_done(StreamPtr stream, const grpc::Status& status);

    Core& client_;
    OnAnswer on_answer_;

    absl::Mutex mutex_;
    BatchCore core_ ABSL_GUARDED_BY(mutex_);
    bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_delivering_ ABSL_GUARDED_BY(mutex_) = false;
    // Shared with the steps that use it.
    StreamPtr stream_ ABSL_GUARDED_BY(mutex_);
    std::optional<size_t> endpoint_ ABSL_GUARDED_BY(mutex_);
    // Streams that broke without a result, in a row; with as many as there are nodes comes a pause.
    size_t failures_ ABSL_GUARDED_BY(mutex_) = 0;
    env::Backoff backoff_ ABSL_GUARDED_BY(mutex_);
    base::MonotonicTime open_at_ ABSL_GUARDED_BY(mutex_) = base::MonotonicTime::min();
    bool is_timer_armed_ ABSL_GUARDED_BY(mutex_) = false;
    std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
    // Those that have ended are gone.
    std::vector<std::weak_ptr<Cancellable>> alone_ ABSL_GUARDED_BY(mutex_);
    // Streams, timers and requests that gRPC may still call back for.
    size_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
};

class Batch::Impl::Stream final
    : public grpc::ClientBidiReactor<v1::BatchRequest, v1::BatchResponse>,
      public std::enable_shared_from_this<Stream> {
  public:
    Stream(std::shared_ptr<Impl> owner, const Endpoints::Connection& to)
        : impl(std::move(owner)), connection(to) {}

    void start() {
        self_ = shared_from_this();
        connection.kv->async()->Batch(&context, this);
        // For the writes, which other threads than gRPC's may start.
        AddHold();
        StartRead(&response);
        StartCall();
    }
    void OnReadDone(bool ok) override {
        if (impl->on_read(*this, ok)) {
            StartRead(&response);
        }
    }
    void OnWriteDone(bool ok) override { impl->on_written(*this, ok); }
    void OnDone(const grpc::Status& status) override {
        const std::shared_ptr<Impl> owner = impl;
        owner->on_done(std::move(self_), status);
    }

    const std::shared_ptr<Impl> impl;
    const Endpoints::Connection connection;
    grpc::ClientContext context;
    v1::BatchResponse response;
    // Owned by the write that is under way.
    v1::BatchRequest request;

    // Under the lock of the owner.
    bool is_writing = false;
    bool is_over = false;
    bool is_silent = false;
    bool has_worked = false;
    bool has_hold = true;
    int acting = 0;

  private:
    StreamPtr self_;
};

uint64_t Batch::Impl::add(v1::BatchOperation operation, base::Duration deadline) {
    const base::Duration time =
        deadline > base::Duration::zero() ? deadline : client_.options.deadline;
    const size_t bytes = payload_bytes(operation);
    uint64_t index = 0;
    {
        absl::MutexLock lock(&mutex_);
        const auto has_room = [this, bytes]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
            return core_.has_room(bytes);
        };
        mutex_.Await(absl::Condition(&has_room));
        index = core_.add(std::move(operation), time, client_.clock.now());
    }
    act();
    return index;
}

void Batch::Impl::wait() {
    absl::MutexLock lock(&mutex_);
    const auto is_done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return core_.under_way() == 0 && !core_.has_answers() && !is_delivering_;
    };
    mutex_.Await(absl::Condition(&is_done));
}

void Batch::Impl::stop() {
    StreamPtr stream;
    std::vector<std::weak_ptr<Cancellable>> alone;
    {
        absl::MutexLock lock(&mutex_);
        is_stopped_ = true;
        core_.cancel_all();
        stream = stream_;
        alone.swap(alone_);
        if (alarm_ != nullptr) {
            alarm_->Cancel();
        }
    }
    if (stream != nullptr) {
        stream->context.TryCancel();
        stream.reset();
    }
    for (const auto& request : alone) {
        cancel(request);
    }
    deliver();
    wait();
    absl::MutexLock lock(&mutex_);
    const auto is_quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return pending_ == 0; };
    mutex_.Await(absl::Condition(&is_quiet));
}

Batch::Impl::Step Batch::Impl::choose() {
    Step step;
    if (is_stopped_) {
        return step;
    }
    const base::MonotonicTime now = client_.clock.now();
    if (stream_ == nullptr && core_.has_queued() && now >= open_at_) {
        const Endpoints::Connection to = client_.endpoints.pick(endpoint_);
        endpoint_ = to.endpoint;
        stream_ = std::make_shared<Stream>(shared_from_this(), to);
        ++stream_->acting;
        ++pending_;
        step.open = stream_;
    } else if (stream_ != nullptr && !stream_->is_over && !stream_->is_writing &&
               stream_->acting == 0 && core_.has_queued()) {
        stream_->request.Clear();
        core_.fill(stream_->request, now);
        if (stream_->request.operations_size() > 0) {
            stream_->is_writing = true;
            ++stream_->acting;
            step.write = stream_;
        }
    }
    step.alone = core_.take_alone(now);
    pending_ += step.alone.has_value() ? 1u : 0u;
    if (!is_timer_armed_ && core_.under_way() > 0) {
        is_timer_armed_ = true;
        ++pending_;
        step.arms_timer = true;
    }
    return step;
}

void Batch::Impl::act() {
    for (;;) {
        Step step;
        {
            absl::MutexLock lock(&mutex_);
            step = choose();
        }
        if (step.is_none()) {
            break;
        }
        if (step.arms_timer) {
            arm_timer();
        }
        if (step.open != nullptr) {
            step.open->start();
            release(*step.open);
        }
        if (step.write != nullptr) {
            step.write->StartWrite(&step.write->request);
            release(*step.write);
        }
        if (step.alone.has_value()) {
            send_alone(*std::move(step.alone));
        }
    }
    deliver();
}

void Batch::Impl::deliver() {
    for (;;) {
        std::vector<BatchAnswer> answers;
        {
            absl::MutexLock lock(&mutex_);
            if (is_delivering_) {
                return;
            }
            answers = core_.take_answers();
            if (answers.empty()) {
                return;
            }
            is_delivering_ = true;
        }
        answers.back().is_last_of_group = true;
        for (const BatchAnswer& answer : answers) {
            on_answer_(answer);
        }
        absl::MutexLock lock(&mutex_);
        is_delivering_ = false;
    }
}

void Batch::Impl::release(Stream& stream) {
    bool is_last = false;
    {
        absl::MutexLock lock(&mutex_);
        --stream.acting;
        is_last = stream.is_over && stream.acting == 0 && std::exchange(stream.has_hold, false);
    }
    if (is_last) {
        stream.RemoveHold();
    }
}

void Batch::Impl::arm_timer() {
    absl::MutexLock lock(&mutex_);
    alarm_ = std::make_unique<grpc::Alarm>();
    alarm_->Set(gpr_time_from_nanos(tick_interval.count(), GPR_TIMESPAN),
                [self = shared_from_this()](bool) { self->on_timer(); });
    if (is_stopped_) {
        alarm_->Cancel();
    }
}

void Batch::Impl::on_timer() {
    // Its callback holds this batch, so it goes when the callback returns.
    std::unique_ptr<grpc::Alarm> ended;
    StreamPtr silent;
    {
        absl::MutexLock lock(&mutex_);
        ended = std::move(alarm_);
        is_timer_armed_ = false;
        if (core_.on_tick(client_.clock.now()) && stream_ != nullptr) {
            stream_->is_silent = true;
            silent = stream_;
        }
    }
    if (silent != nullptr) {
        silent->context.TryCancel();
        silent.reset();
    }
    act();
    absl::MutexLock lock(&mutex_);
    --pending_;
}

void Batch::Impl::send_alone(BatchCore::Alone alone) {
    const StartOptions options{.deadline = alone.deadline};
    const auto done = [self = shared_from_this(), index = alone.index](auto answer) {
        BatchAnswer end{.status = answer.status()};
        if (answer.ok()) {
            fill(end, *std::move(answer));
        }
        self->on_alone(index, std::move(end));
    };
    std::weak_ptr<Cancellable> request;
    v1::BatchOperation& operation = alone.operation;
    if (operation.has_put()) {
        request = start_put(client_, std::move(*operation.mutable_put()), options, done);
    } else if (operation.has_get()) {
        request = start_get(client_, std::move(*operation.mutable_get()), options, done);
    } else {
        request = start_delete(client_, std::move(*operation.mutable_delete_()), options, done);
    }
    bool is_stopped = false;
    {
        absl::MutexLock lock(&mutex_);
        std::erase_if(alone_, [](const auto& other) { return other.expired(); });
        alone_.push_back(request);
        is_stopped = is_stopped_;
    }
    if (is_stopped) {
        cancel(request);
    }
}

void Batch::Impl::on_alone(uint64_t index, BatchAnswer answer) {
    {
        absl::MutexLock lock(&mutex_);
        core_.on_alone_end(index, std::move(answer));
    }
    deliver();
    absl::MutexLock lock(&mutex_);
    --pending_;
}

bool Batch::Impl::on_read(Stream& stream, bool ok) {
    bool is_first = false;
    {
        absl::MutexLock lock(&mutex_);
        ++stream.acting;
        if (ok) {
            is_first = !std::exchange(stream.has_worked, true);
            failures_ = 0;
            backoff_.succeed();
            core_.on_results(stream.response, client_.clock.now());
        } else {
            stream.is_over = true;
        }
    }
    if (is_first) {
        client_.endpoints.worked(stream.connection.endpoint);
    }
    release(stream);
    act();
    return ok;
}

void Batch::Impl::on_written(Stream& stream, bool ok) {
    {
        absl::MutexLock lock(&mutex_);
        ++stream.acting;
        stream.is_writing = false;
        stream.is_over = stream.is_over || !ok;
    }
    release(stream);
    act();
}

void Batch::Impl::on_done(StreamPtr stream, const grpc::Status& status) {
    const Endpoints::Connection to = stream->connection;
    Failure failure{
        .status = base::make_error(absl::StatusCode::kUnavailable,
                                   base::reason::stopping,
                                   fmt::format("{}: the node has ended the stream", *to.address))};
    if (stream->is_silent) {
        failure = {.status = base::make_error(absl::StatusCode::kDeadlineExceeded,
                                              base::reason::deadline,
                                              fmt::format("{}: no answer in time", *to.address)),
                   .is_endpoint_down = true};
    } else if (!status.ok()) {
        failure = to_stream_failure(stream->context, status, *to.address);
    }
    if (failure.is_endpoint_down) {
        client_.endpoints.failed(to.endpoint);
    }
    {
        absl::MutexLock lock(&mutex_);
        const base::MonotonicTime now = client_.clock.now();
        if (!stream->has_worked && ++failures_ >= client_.endpoints.count()) {
            open_at_ = now + backoff_.fail(client_.random);
        }
        stream_.reset();
        core_.on_stream_end(failure, now);
    }
    // It keeps the channel, whose end on a thread of gRPC's own is gRPC's end: before the last
    // touch of the core.
    stream.reset();
    act();
    absl::MutexLock lock(&mutex_);
    --pending_;
}

Batch::Batch(Core& core, const BatchOptions& options, OnAnswer on_answer)
    : impl_(std::make_shared<Impl>(core, options, std::move(on_answer))) {}

Batch::~Batch() {
    impl_->stop();
}

uint64_t Batch::put(std::string key, std::string value, const WriteOptions& options) {
    v1::BatchOperation operation;
    *operation.mutable_put() = make_put(impl_->client(), std::move(key), std::move(value), options);
    return impl_->add(std::move(operation), options.request.deadline);
}

uint64_t Batch::del(std::string key, const WriteOptions& options) {
    v1::BatchOperation operation;
    *operation.mutable_delete_() = make_delete(impl_->client(), std::move(key), options);
    return impl_->add(std::move(operation), options.request.deadline);
}

uint64_t Batch::get(std::string key, const RequestOptions& options) {
    v1::BatchOperation operation;
    *operation.mutable_get() = make_get(std::move(key), options);
    return impl_->add(std::move(operation), options.deadline);
}

void Batch::wait() {
    impl_->wait();
}

}  // namespace starling::client
