#pragma once

// The iterator of engines that find an entry by its key in memory: it holds a copy of the entry it
// stands on, and looks for the next one from there.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/live_count.h"

namespace starling::storage {

struct KeyedEntry {
    std::string key;
    std::string value;
    Expiry expiry = never;
};

// A state that does not change.
class EntrySource {
  public:
    virtual ~EntrySource() = default;
    // The first entry with a key >= `key`, or > when `beyond`, and < `end`; an empty end means to
    // the end.
    virtual absl::StatusOr<std::optional<KeyedEntry>> first_from(std::string_view key,
                                                                 bool beyond,
                                                                 std::string_view end) = 0;
    // The last entry with a key < `key` and >= `begin`; without a key, the last of all.
    virtual absl::StatusOr<std::optional<KeyedEntry>> last_before(
        std::optional<std::string_view> key, std::string_view begin) = 0;
};

std::unique_ptr<Iterator> new_bounded_iterator(std::unique_ptr<EntrySource> source,
                                               std::string lower,
                                               std::string upper,
                                               LiveCount::Hold hold);
// Never valid.
std::unique_ptr<Iterator> new_refused_iterator(absl::Status why);

}  // namespace starling::storage
