#pragma once

// BatchCore: the operations of a batch between their begin and their answer, without I/O.
//
//   queued -> sent     put into a message of the stream
//   sent -> answered   by a result, or by an error for good
//   sent -> waiting    by an error that passes, the end of the stream, or silence beyond the try's
//                      time
//   waiting -> queued  when its pause is over
//   any -> answered    at its deadline
//
// An operation that is larger than a message may be is never queued. It is handed out, to be made a
// request of its own, and answered as that ends: where it is beyond what a node takes, gRPC would
// end the stream of all others with it.
//
// Each try has a number of its own, so that a late result of an earlier try is nobody's.
// For one thread at a time.

#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "base/time.h"
#include "client/batch.h"
#include "client/kv_requests.h"
#include "client/retry.h"
#include "env/random.h"
#include "starling/v1/kv.pb.h"

namespace starling::client {

class BatchCore {
  public:
    struct Parameters {
        RetryPolicy retry;
        BatchOptions limits;
        uint32_t endpoint_count = 1;
    };

    // `session`: null for none.
    BatchCore(const Parameters& parameters, env::Random& random, SessionMarks* session = nullptr)
        : parameters_(parameters), random_(random), session_(session) {}

    // Whether an operation of so many bytes may be added.
    bool has_room(size_t bytes) const;
    // Returns its index.
    uint64_t add(v1::BatchOperation operation, base::Duration deadline, base::MonotonicTime now);

    bool has_queued() const { return !queued_.empty(); }
    // Puts into `message` what is to be sent next. REQUIRES: `message` is empty, has_queued().
    void fill(v1::BatchRequest& message, base::MonotonicTime now);

    struct Alone {
        uint64_t index = 0;
        v1::BatchOperation operation;
        base::Duration deadline = {};
    };
    // The next operation that is too large for a message. Its tries and its session are the
    // request's that it becomes.
    std::optional<Alone> take_alone(base::MonotonicTime now);
    // How that request ended; nothing is done for one that was cancelled here before.
    void on_alone_end(uint64_t index, BatchAnswer answer);

    void on_results(v1::BatchResponse& response, base::MonotonicTime now);
    // All that was sent on it and has no answer has failed so.
    void on_stream_end(const Failure& failure, base::MonotonicTime now);
    // Ends and requeues what is due. True: a node let a try's time pass without a word, so that its
    // stream is not worth waiting for.
    bool on_tick(base::MonotonicTime now);
    void cancel_all();

    size_t under_way() const { return entries_.size(); }
    bool has_answers() const { return !answers_.empty(); }
    // In the order in which the operations finished.
    std::vector<BatchAnswer> take_answers() { return std::exchange(answers_, {}); }

  private:
    struct Entry {
        v1::BatchOperation operation;
        size_t bytes = 0;
        base::MonotonicTime give_up_at;
        RetryCore retry;
        bool is_read = false;
        bool is_alone = false;
        // Of the present try; 0: not sent.
        uint64_t number = 0;
        base::MonotonicTime try_until;
        // As it went with the last try.
        std::optional<SessionOfRequest> session = std::nullopt;
    };

    void fail(uint64_t index, const Failure& failure, base::MonotonicTime now);
    void answer(uint64_t index, BatchAnswer answer);

    const Parameters parameters_;
    env::Random& random_;
    SessionMarks* const session_;

    // By index.
    std::map<uint64_t, Entry> entries_;
    size_t bytes_ = 0;
    uint64_t next_index_ = 0;
    uint64_t next_number_ = 1;
    // May name operations that have ended meanwhile.
    std::deque<uint64_t> queued_;
    // Not handed out yet.
    std::deque<uint64_t> alone_;
    std::multimap<base::MonotonicTime, uint64_t> waiting_;
    // Index by number of the try.
    absl::flat_hash_map<uint64_t, uint64_t> sent_;
    std::vector<BatchAnswer> answers_;
};

// Of keys, values and contexts.
size_t payload_bytes(const v1::BatchOperation& operation);

}  // namespace starling::client
