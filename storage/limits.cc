#include "storage/limits.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"

namespace starling::storage {

namespace {

struct SizeCheck final : WriteBatch::Handler {
    size_t key_bytes_max = 0;
    size_t value_bytes_max = 0;

    void put(std::string_view key, std::string_view value, Expiry) override {
        key_bytes_max = std::max(key_bytes_max, key.size());
        value_bytes_max = std::max(value_bytes_max, value.size());
    }
    void remove(std::string_view key) override {
        key_bytes_max = std::max(key_bytes_max, key.size());
    }
    void remove_range(std::string_view begin, std::string_view end) override {
        key_bytes_max = std::max({key_bytes_max, begin.size(), end.size()});
    }
};

absl::Status too_large(std::string_view reason, std::string_view what, size_t size, size_t limit) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument,
        reason,
        fmt::format("{} of {} bytes; at most {} are stored", what, size, limit));
}

}  // namespace

absl::Status check_batch(const WriteBatch& batch) {
    if (batch.range_removal_count() > engine_range_removals_max) {
        return base::make_error(
            absl::StatusCode::kInvalidArgument,
            base::reason::request_too_large,
            fmt::format("a batch with {} removals of ranges; at most {} are taken",
                        batch.range_removal_count(),
                        engine_range_removals_max));
    }
    if (batch.byte_size() <= engine_key_bytes_max) {
        return absl::OkStatus();
    }
    if (batch.byte_size() > engine_batch_bytes_max) {
        return too_large(
            base::reason::request_too_large, "a batch", batch.byte_size(), engine_batch_bytes_max);
    }
    SizeCheck sizes;
    if (absl::Status status = WriteBatch::replay(batch.representation(), sizes); !status.ok()) {
        return status;
    }
    if (sizes.key_bytes_max > engine_key_bytes_max) {
        return too_large(
            base::reason::key_too_large, "a key", sizes.key_bytes_max, engine_key_bytes_max);
    }
    if (sizes.value_bytes_max > engine_value_bytes_max) {
        return too_large(base::reason::value_too_large,
                         "a value",
                         sizes.value_bytes_max,
                         engine_value_bytes_max);
    }
    return absl::OkStatus();
}

}  // namespace starling::storage
