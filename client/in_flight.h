#pragma once

// The requests of a client that are under way: counts them against a limit, cancels them and waits
// for their end when the client stops. Thread-safe.

#include <cstddef>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace starling::client {

class Cancellable {
  public:
    // Makes it end soon; any thread.
    virtual void cancel() = 0;

  protected:
    ~Cancellable() = default;
};

class InFlight {
  public:
    explicit InFlight(size_t count_max) : count_max_(count_max) {}

    // resource_exhausted: too many. failed_precondition: stopped.
    absl::Status add(const std::shared_ptr<Cancellable>& request);
    void remove(const Cancellable* request);

    // From then on nothing is added; returns when nothing is left. Not from a request's callback.
    void stop();

  private:
    const size_t count_max_;
    absl::Mutex mutex_;
    bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
    // A request keeps itself alive until it ends; shared while it is being cancelled.
    absl::flat_hash_map<const Cancellable*, std::weak_ptr<Cancellable>> requests_
        ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::client
