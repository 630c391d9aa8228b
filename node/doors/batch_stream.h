#pragma once

// One Batch stream: reads messages of sub-requests, hands them to the node, and sends the results
// as they come, many per message. Flow control: sub-requests handed out plus results not yet sent
// stay under a count and a number of bytes; while full, what was read waits, and nothing more is
// read, so that HTTP/2 holds the client back. The bytes that a get will bring are not known
// beforehand: each is charged an estimate that follows the results seen.
//
// Every event (message read, sub-request answered, message written, cancelled, stopping) changes
// state under the mutex and then runs act(), which performs what the state now allows, outside the
// mutex. Several threads may be in act(); the stream ends only when none is, so that nobody touches
// a stream that has ended.

#include <deque>
#include <memory>
#include <set>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include <google/protobuf/arena.h>
#include <grpcpp/support/server_callback.h>

#include "node/doors/call_context.h"
#include "starling/v1/kv.pb.h"

namespace starling::node {

class BatchStream;

// The open streams of a door, so that stopping can end them.
class BatchStreams {
  public:
    // False when stop_all() has been: the stream is to stop by itself.
    bool add(BatchStream& stream);
    void remove(BatchStream& stream);
    // Each stream answers what it has been given, takes no more, and ends.
    void stop_all();

  private:
    absl::Mutex mutex_;
    bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
    std::set<BatchStream*> streams_ ABSL_GUARDED_BY(mutex_);
};

class BatchStream final : public grpc::ServerBidiReactor<v1::BatchRequest, v1::BatchResponse> {
  public:
    BatchStream(CallContext& context, BatchStreams& streams, grpc::CallbackServerContext& call);

    // begin_stop() is followed by act(); until then the stream does not end.
    void begin_stop();
    void act();

    void OnReadDone(bool ok) override;
    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;

  private:
    // A sub-request from its reading to the sending of its result. While the node has it, its
    // callback owns it.
    struct SubCall {
        BatchStream* stream = nullptr;
        uint64_t number = 0;
        Method method = Method::get;
        SteadyTime started;
        // What it counts for in `held_bytes_`, and what it holds of the door's admission.
        size_t charged_bytes = 0;
        size_t admitted_bytes = 0;
        bool is_admitted = false;
        std::variant<std::monostate, PutRequest, GetRequest> request;
        std::variant<std::monostate, absl::Status, PutResult, GetResult> result;
    };
    using SubCallPtr = std::unique_ptr<SubCall>;
    struct AnswerAbandoned {
        void operator()(SubCall* sub) const;
    };
    using SubCallHandle = std::unique_ptr<SubCall, AnswerAbandoned>;

    struct Actions {
        absl::InlinedVector<SubCallPtr, 16> dispatch;
        std::vector<SubCallPtr> write;
        bool read = false;
        bool is_none() const { return dispatch.empty() && write.empty() && !read; }
    };

    SubCallPtr parse(v1::BatchOperation& operation, bool is_excess);
    void dispatch(SubCallPtr sub);
    template <typename Result>
    void complete(SubCallPtr sub, absl::StatusOr<Result> result);
    void completed(SubCallPtr sub, size_t result_bytes);
    void start_write(std::vector<SubCallPtr> results);
    void write_result(v1::BatchResult& out, SubCall& sub);
    void record(const SubCall& sub, absl::StatusCode code);
    void fresh_request();

    bool has_room() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    bool is_finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    Actions choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    void drop_all() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    void learn_get_bytes(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    CallContext& context_;
    BatchStreams& streams_;
    grpc::CallbackServerContext& call_;
    const SteadyTime started_;

    // Owned by whoever reads: one read at a time.
    google::protobuf::Arena read_arena_;
    v1::BatchRequest* incoming_ = nullptr;
    // Owned by whoever writes: one write at a time.
    google::protobuf::Arena write_arena_;
    std::vector<SubCallPtr> being_written_;
    // Set by the thread that ends the stream, read by OnDone.
    absl::StatusCode code_ = absl::StatusCode::kOk;

    absl::Mutex mutex_;
    std::deque<SubCallPtr> waiting_ ABSL_GUARDED_BY(mutex_);
    std::vector<SubCallPtr> ready_ ABSL_GUARDED_BY(mutex_);
    size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
    // Those in ready_ and being_written_.
    size_t unsent_ ABSL_GUARDED_BY(mutex_) = 0;
    size_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
    size_t get_bytes_expected_ ABSL_GUARDED_BY(mutex_);
    int acting_ ABSL_GUARDED_BY(mutex_) = 0;
    bool is_reading_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_read_closed_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
    bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace starling::node
