#include "storage/bitcask/damage.h"

#include <optional>
#include <utility>

#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/bitcask/value_reader.h"

namespace starling::storage::bitcask {

namespace {

constexpr size_t open_files_max = 16;
constexpr Expiry with_expired = 0;

}  // namespace

absl::StatusOr<std::vector<LostValue>> find_lost_values(env::FileSystem& files,
                                                        const std::string& directory,
                                                        const KeyDirectory& keys,
                                                        absl::FunctionRef<bool()> should_stop) {
    ValueReader values(files, directory, open_files_max);
    std::vector<LostValue> lost;
    std::string key;
    for (bool beyond = false;; beyond = true) {
        auto found = keys.first_from(key, beyond, "", keys.sequence(), with_expired);
        if (!found.has_value()) {
            return lost;
        }
        if (should_stop()) {
            return absl::CancelledError("the engine is closing");
        }
        key = std::move(found->key);
        if (found->recent != nullptr && !found->complete) {
            continue;
        }
        absl::Status status = values.read(key, found->location).status();
        if (absl::IsDataLoss(status)) {
            STARLING_MARK(bitcask_damage_takes_a_value);
            lost.push_back({.key = key, .sequence = found->sequence, .error = std::move(status)});
            continue;
        }
        STARLING_RETURN_IF_ERROR(status);
    }
}

}  // namespace starling::storage::bitcask
