#pragma once

#include <cstddef>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace starling::node {

// Ends when the last of several jobs has, with the first error.
class Gathering {
  public:
    Gathering(size_t count, absl::AnyInvocable<void(absl::Status)> done)
        : left_(count), done_(std::move(done)) {}
    void finish_one(absl::Status status) {
        status_.Update(std::move(status));
        if (--left_ == 0) {
            done_(status_);
        }
    }

  private:
    size_t left_;
    absl::Status status_;
    absl::AnyInvocable<void(absl::Status)> done_;
};

}  // namespace starling::node
