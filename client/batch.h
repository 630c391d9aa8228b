#pragma once

// Many operations through one stream, for throughput:
//
//     auto batch = client->batch({}, [](const client::BatchAnswer& answer) {
//         if (!answer.status.ok()) ...answer.index...
//     });
//     for (const auto& [key, value] : everything) {
//         (*batch)->put(key, value);  // waits while too much is under way
//     }
//     (*batch)->wait();
//
// Operations are independent: they are carried out side by side, those of one key too, and their
// answers come in the order in which they finish. Each has the deadline and the request id that a
// single request has, and is tried again by the same rules (client/retry.h): on the stream while it
// holds, through the next node when it breaks. So a write whose outcome is unknown, because its
// node stopped or fell silent, is repeated as the same write until its deadline. One of more than
// 192 KiB goes beside the stream, as a single request: the stream's messages are no larger, which
// each node takes.
//
// Thread-safe. A batch must end before its client.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/options.h"
#include "starling/v1/kv.pb.h"

namespace starling::client {

struct Core;

struct BatchOptions {
    // Operations under way, and the bytes of their keys, values and contexts. An operation that is
    // alone may be larger. A node takes 1024 and 32 MiB of one stream at once.
    size_t operations_max = 1024;
    size_t bytes_max = 16u << 20;
};

struct BatchAnswer {
    // What put(), del() or get() returned.
    uint64_t index = 0;
    // As a single request's: base::reason_of() and outcome_unknown() apply.
    absl::Status status = {};
    // When OK, the answer to what was asked.
    v1::WriteResponse write = {};
    v1::GetResponse get = {};
    // No other answer is there to follow at once: who buffers what it makes of answers passes it on
    // now.
    bool is_last_of_group = false;
};

class Batch {
  public:
    // Called once for each operation, one call at a time, on threads of gRPC's or on one that is in
    // a call of this class. Must not block, nor call this batch.
    using OnAnswer = absl::AnyInvocable<void(const BatchAnswer&)>;

    Batch(Core& core, const BatchOptions& options, OnAnswer on_answer);
    // What has no answer yet ends as `cancelled`; of writes the outcome is then unknown.
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    // Each returns the operation's index, counted from 0 in the order of the calls, and waits while
    // as much as the options allow is under way.
    uint64_t put(std::string key, std::string value, const WriteOptions& options = {});
    uint64_t del(std::string key, const WriteOptions& options = {});
    uint64_t get(std::string key, const RequestOptions& options = {});

    // Until each operation so far has been answered. More may follow.
    void wait();

  private:
    class Impl;
    // Shared with the stream and the timer, whose last steps outlive a call.
    const std::shared_ptr<Impl> impl_;
};

// OK, or invalid_argument that names the option.
absl::Status check_options(const BatchOptions& options);

}  // namespace starling::client
