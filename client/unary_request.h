#pragma once

// One request from its start to its answer, through as many tries as RetryCore allows. It runs on
// gRPC's threads: the end of a try or of a wait starts the next step. It keeps itself alive until
// then, and calls back exactly once.

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>

#include "client/core.h"
#include "client/error.h"
#include "client/retry.h"
#include "client/try_result.h"

namespace starling::client {

template <typename Response>
using Callback = absl::AnyInvocable<void(absl::StatusOr<Response>)>;

// From now on, by gRPC's own clock.
inline gpr_timespec timespan(base::Duration duration) {
    return gpr_time_from_nanos(duration.count(), GPR_TIMESPAN);
}

template <typename Request, typename Response>
class UnaryRequest final : public Cancellable,
                           public std::enable_shared_from_this<UnaryRequest<Request, Response>> {
  public:
    // Calls the method on a stub.
    using Method = void (*)(const Endpoints::Connection&,
                            grpc::ClientContext*,
                            const Request*,
                            Response*,
                            std::function<void(grpc::Status)>);

    struct Parameters {
        Method method;
        Repeat repeat;
        base::Duration deadline;
        // An earlier try outside of this request may have been carried out.
        bool may_exist_already = false;
    };

    UnaryRequest(Core& core, const Parameters& parameters, Request request, Callback<Response> done)
        : core_(core),
          parameters_(parameters),
          request_(std::move(request)),
          done_(std::move(done)),
          retry_(core.options.retry,
                 parameters.repeat,
                 static_cast<uint32_t>(core.endpoints.count()),
                 core.clock.now() + parameters.deadline) {}

    void start() {
        if (const absl::Status status = core_.in_flight.add(this->shared_from_this());
            !status.ok()) {
            std::exchange(done_, nullptr)(status);
            return;
        }
        try_once();
    }

    void cancel() override {
        std::shared_ptr<Try> running;
        {
            absl::MutexLock lock(&mutex_);
            is_cancelled_ = true;
            running = try_;
            if (alarm_ != nullptr) {
                alarm_->Cancel();
            }
        }
        if (running != nullptr) {
            running->context.TryCancel();
        }
    }

  private:
    struct Try {
        grpc::ClientContext context;
        Response response;
        Endpoints::Connection connection;
    };

    void try_once() {
        auto attempt = std::make_shared<Try>();
        attempt->connection = core_.endpoints.pick(previous_);
        previous_ = attempt->connection.endpoint;
        attempt->context.set_deadline(timespan(retry_.try_time(core_.clock.now())));
        const Endpoints::Connection to = attempt->connection;
        grpc::ClientContext* const context = &attempt->context;
        Response* const response = &attempt->response;
        {
            absl::MutexLock lock(&mutex_);
            if (is_cancelled_) {
                context->TryCancel();
            }
            try_ = std::move(attempt);
        }
        parameters_.method(to,
                           context,
                           &request_,
                           response,
                           [self = this->shared_from_this()](const grpc::Status& status) {
                               self->on_tried(status);
                           });
    }

    void on_tried(const grpc::Status& status) {
        std::shared_ptr<Try> attempt;
        bool is_cancelled = false;
        {
            absl::MutexLock lock(&mutex_);
            attempt = std::exchange(try_, nullptr);
            is_cancelled = is_cancelled_;
        }
        const Endpoints::Connection to = attempt->connection;
        if (status.ok()) {
            Response response = std::move(attempt->response);
            // It keeps the channel, whose end on a thread of gRPC's own is gRPC's end: before
            // finish().
            attempt.reset();
            core_.endpoints.worked(to.endpoint);
            finish(std::move(response));
            return;
        }
        Failure failure = to_failure(attempt->context, status, *to.address);
        attempt.reset();
        if (failure.is_endpoint_down) {
            core_.endpoints.failed(to.endpoint);
        } else {
            core_.endpoints.worked(to.endpoint);
        }
        const auto wait = retry_.fail(std::move(failure), core_.clock.now(), core_.random);
        if (!wait.has_value() || is_cancelled) {
            finish(error());
        } else if (*wait == base::Duration::zero()) {
            try_once();
        } else {
            wait_for(*wait);
        }
    }

    void wait_for(base::Duration wait) {
        absl::MutexLock lock(&mutex_);
        // A new one each time: the last one's callback may not have returned yet.
        alarm_ = std::make_unique<grpc::Alarm>();
        alarm_->Set(timespan(wait),
                    [self = this->shared_from_this()](bool is_over) { self->on_waited(is_over); });
        if (is_cancelled_) {
            alarm_->Cancel();
        }
    }

    void on_waited(bool is_over) {
        // Its callback holds this request, so it goes when the callback returns.
        std::unique_ptr<grpc::Alarm> ended;
        // A cancelled wait may still end in order.
        bool is_cancelled = false;
        {
            absl::MutexLock lock(&mutex_);
            ended = std::move(alarm_);
            is_cancelled = is_cancelled_;
        }
        if (is_over && !is_cancelled) {
            try_once();
        } else {
            finish(error());
        }
    }

    absl::Status error() const {
        absl::Status status = retry_.result();
        return parameters_.may_exist_already ? with_outcome_unknown(std::move(status)) : status;
    }

    void finish(absl::StatusOr<Response> result) {
        std::exchange(done_, nullptr)(std::move(result));
        // The last touch of the core: a client that waits for this may go now.
        core_.in_flight.remove(this);
    }

    Core& core_;
    const Parameters parameters_;
    const Request request_;
    Callback<Response> done_;

    // Owned by the step that runs; steps follow one another.
    RetryCore retry_;
    std::optional<size_t> previous_;

    absl::Mutex mutex_;
    bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
    // Shared with cancel(), which must not hold the lock while it calls gRPC.
    std::shared_ptr<Try> try_ ABSL_GUARDED_BY(mutex_);
    std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::client
