#pragma once

// RetryCore: decides, without I/O, whether a request that failed is tried again, when, and what its
// caller is told in the end. One per request.
//
// Invariants:
// 1. Nothing is tried again that may then be carried out twice: reads and writes with a request id
//    may be repeated; anything else only when the failed try cannot have begun.
// 2. What a node refused for good (bad input, conflict) is never tried again.
// 3. Once a try of a write may have been carried out, every error for that write says so.

#include <cstdint>
#include <optional>

#include "absl/status/status.h"

#include "base/time.h"
#include "client/options.h"
#include "env/posix/backoff.h"
#include "env/random.h"

namespace starling::client {

enum class Repeat : uint8_t {
    // A read.
    harmless,
    // A write with a request id: nodes know a repeat of it.
    same_write,
    // Each try that begins counts.
    another_action,
};

// How one try ended.
struct Failure {
    absl::Status status;
    // The node may have begun to carry it out.
    bool may_have_begun = true;
    // Nothing was reached at the node's address, or the connection broke.
    bool is_endpoint_down = false;
    // The node's advice; zero = none.
    base::Duration retry_after = {};
    // Another try may succeed, although the status does not sound so.
    bool may_pass = false;
};

class RetryCore {
  public:
    RetryCore(const RetryPolicy& policy,
              Repeat repeat,
              uint32_t endpoint_count,
              base::MonotonicTime give_up_at);

    // How long the next try may take; zero: the time is up.
    base::Duration try_time(base::MonotonicTime now) const;

    // How long to wait before the next try; nullopt: there is none, and result() is the answer.
    std::optional<base::Duration> fail(Failure failure,
                                       base::MonotonicTime now,
                                       env::Random& random);

    // REQUIRES: fail() was called.
    absl::Status result() const;

    uint32_t tries() const { return tries_; }

  private:
    bool may_repeat(const Failure& failure) const;
    // Another node is known, and the reason was this one's own.
    bool may_pass_elsewhere(const Failure& failure) const;

    const RetryPolicy policy_;
    const Repeat repeat_;
    const uint32_t endpoint_count_;
    const base::MonotonicTime give_up_at_;

    env::Backoff backoff_;
    uint32_t tries_ = 0;
    uint32_t endpoints_down_ = 0;
    bool may_exist_ = false;
    absl::Status last_;
};

}  // namespace starling::client
