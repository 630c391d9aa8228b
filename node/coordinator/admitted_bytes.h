#pragma once

// The room that a request takes of its shard's share, for as long as anything holds the request:
// its operation may outlive the answer, where a read or a sync of this node's own slow disk still
// waits. Owned by the shard's loop; may outlive the coordinator.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/byte_limit.h"

namespace starling::node {

class AdmittedBytes {
  public:
    // nullopt: there is no room.
    static std::optional<AdmittedBytes> take(std::shared_ptr<base::ByteLimit> limit,
                                             uint64_t bytes) {
        if (!limit->take(bytes)) return std::nullopt;
        return AdmittedBytes(std::move(limit), bytes);
    }
    AdmittedBytes(AdmittedBytes&&) = default;
    AdmittedBytes& operator=(AdmittedBytes&&) = delete;
    ~AdmittedBytes() {
        if (limit_ != nullptr) limit_->give_back(bytes_);
    }

  private:
    AdmittedBytes(std::shared_ptr<base::ByteLimit> limit, uint64_t bytes)
        : limit_(std::move(limit)), bytes_(bytes) {}

    std::shared_ptr<base::ByteLimit> limit_;
    const uint64_t bytes_;
};

}  // namespace starling::node
