#pragma once

// One unary call from its arrival to its last byte. It is handed to the node's callback as a
// CallHandle: whoever holds the handle answers the call, and a handle that is destroyed unused
// answers it with an error, so that no call stays open when a stopping node drops its callbacks.

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include <grpcpp/support/server_callback.h>

#include "node/doors/call_context.h"

namespace starling::node {

class UnaryCall final : public grpc::ServerUnaryReactor {
  public:
    UnaryCall(CallContext& context, grpc::CallbackServerContext& call, Method method)
        : context_(context),
          call_(call),
          method_(method),
          started_(std::chrono::steady_clock::now()) {}

    const grpc::CallbackServerContext& call() const { return call_; }

    // stopping, or overloaded. Then fail() must follow. OK: the bytes are given back when the call
    // is done.
    absl::Status admit(size_t bytes) {
        if (context_.is_stopping.load(std::memory_order_acquire)) {
            return stopping_error();
        }
        absl::Status status = context_.admission.admit(bytes);
        if (status.ok()) {
            is_admitted_ = true;
            admitted_bytes_ = bytes;
        }
        return status;
    }

    // Exactly one of these, once.
    void succeed(size_t result_bytes = 0) {
        if (is_admitted_) {
            context_.admission.grow(result_bytes);
            admitted_bytes_ += result_bytes;
        }
        Finish(grpc::Status::OK);
    }
    void fail(const absl::Status& status) {
        code_ = status.code();
        const bool is_write = method_ == Method::put || method_ == Method::remove;
        Finish(to_grpc_status(call_, status, is_write));
    }

    void OnDone() override {
        context_.metrics.record(method_, code_, std::chrono::steady_clock::now() - started_);
        if (is_admitted_) {
            context_.admission.release(admitted_bytes_);
        }
        delete this;
    }

  private:
    CallContext& context_;
    grpc::CallbackServerContext& call_;
    const Method method_;
    const SteadyTime started_;
    absl::StatusCode code_ = absl::StatusCode::kOk;
    bool is_admitted_ = false;
    size_t admitted_bytes_ = 0;
};

struct AnswerAbandoned {
    void operator()(UnaryCall* call) const { call->fail(abandoned_error()); }
};
using CallHandle = std::unique_ptr<UnaryCall, AnswerAbandoned>;

// gRPC hands a request to its handler as const, though it made it for this call alone and never
// looks at it again.
template <typename Message>
Message& take_message(const Message* message) {
    return const_cast<Message&>(*message);
}

}  // namespace starling::node
