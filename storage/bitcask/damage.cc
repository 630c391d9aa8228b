#include "storage/bitcask/damage.h"

#include <utility>

#include "base/mark.h"
#include "base/status_macros.h"

namespace starling::storage::bitcask {

namespace {

constexpr size_t open_files_max = 16;
constexpr Expiry with_expired = 0;
// What a value takes beside itself and its key, or about that.
constexpr uint64_t record_bytes = 40;

}  // namespace

ValueSearch::ValueSearch(env::FileSystem& files,
                         const std::string& directory,
                         const KeyDirectory& keys,
                         std::optional<std::string> behind,
                         absl::FunctionRef<bool()> should_stop)
    : keys_(keys),
      should_stop_(should_stop),
      values_(files, directory, open_files_max),
      behind_(std::move(behind)) {}

absl::StatusOr<bool> ValueSearch::next() {
    bytes_ = 0;
    has_read_ = false;
    lost_.reset();
    auto found = keys_.first_from(
        behind_.value_or(""), behind_.has_value(), "", keys_.sequence(), with_expired);
    if (!found.has_value()) {
        return false;
    }
    if (should_stop_()) {
        return absl::CancelledError("the engine is closing");
    }
    behind_ = std::move(found->key);
    bytes_ = record_bytes + behind_->size() + found->location.size;
    if (found->recent != nullptr && !found->complete) {
        return true;
    }
    has_read_ = true;
    absl::Status status = values_.read(*behind_, found->location).status();
    if (absl::IsDataLoss(status)) {
        STARLING_MARK(bitcask_damage_takes_a_value);
        lost_ = LostValue{.key = *behind_, .sequence = found->sequence, .error = std::move(status)};
        return true;
    }
    STARLING_RETURN_IF_ERROR(status);
    return true;
}

absl::StatusOr<std::vector<LostValue>> find_lost_values(env::FileSystem& files,
                                                        const std::string& directory,
                                                        const KeyDirectory& keys,
                                                        absl::FunctionRef<bool()> should_stop) {
    ValueSearch search(files, directory, keys, std::nullopt, should_stop);
    std::vector<LostValue> lost;
    for (;;) {
        STARLING_ASSIGN_OR_RETURN(const bool is_there, search.next());
        if (!is_there) {
            return lost;
        }
        if (search.lost().has_value()) {
            lost.push_back(*search.lost());
        }
    }
}

absl::StatusOr<ScrubStep> Scrub::read_on(uint64_t bytes, absl::FunctionRef<bool()> should_stop) {
    ValueSearch search(
        files_, directory_, keys_, std::exchange(behind_, std::nullopt), should_stop);
    ScrubStep step;
    size_t reads = 0;
    do {
        const auto is_there = search.next();
        behind_ = search.behind();
        STARLING_RETURN_IF_ERROR(is_there.status());
        if (!*is_there) {
            behind_.reset();
            step.is_last = true;
            break;
        }
        step.bytes += search.bytes();
        reads += search.has_read() ? 1U : 0U;
        if (search.lost().has_value()) {
            STARLING_MARK(bitcask_scrub_met_damage);
            return search.lost()->error;
        }
    } while (step.bytes < bytes && reads < reads_per_step_max);
    return step;
}

}  // namespace starling::storage::bitcask
