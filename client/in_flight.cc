#include "client/in_flight.h"

#include <vector>

#include <fmt/format.h>

#include "base/error.h"

namespace starling::client {

absl::Status InFlight::add(const std::shared_ptr<Cancellable>& request) {
    absl::MutexLock lock(&mutex_);
    if (is_stopped_) {
        return absl::FailedPreconditionError("the client has been stopped");
    }
    if (requests_.size() >= count_max_) {
        return base::make_error(
            absl::StatusCode::kResourceExhausted,
            base::reason::overloaded,
            fmt::format("{} requests of this client are under way already", requests_.size()));
    }
    requests_.emplace(request.get(), request);
    return absl::OkStatus();
}

void InFlight::remove(const Cancellable* request) {
    absl::MutexLock lock(&mutex_);
    requests_.erase(request);
}

void InFlight::stop() {
    std::vector<std::shared_ptr<Cancellable>> pending;
    {
        absl::MutexLock lock(&mutex_);
        is_stopped_ = true;
        for (const auto& [key, request] : requests_) {
            if (auto alive = request.lock()) {
                pending.push_back(std::move(alive));
            }
        }
    }
    for (const auto& request : pending) {
        request->cancel();
    }
    pending.clear();
    absl::MutexLock lock(&mutex_);
    const auto is_empty = [this]()
                              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return requests_.empty(); };
    mutex_.Await(absl::Condition(&is_empty));
}

}  // namespace starling::client
