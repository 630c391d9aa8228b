#include "storage/key_ranges.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace starling::storage {

namespace {

// Whether no key lies between the range's end and `key`, or `key` in it. REQUIRES: it begins no
// later.
bool reaches(const KeyRange& range, std::string_view key) {
    return key <= range.last || (key.size() == range.last.size() + 1 && key.back() == '\0' &&
                                 key.starts_with(range.last));
}

}  // namespace

std::vector<KeyRange> united(std::vector<KeyRange> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const KeyRange& a, const KeyRange& b) {
        return a.first < b.first;
    });
    std::vector<KeyRange> result;
    for (KeyRange& range : ranges) {
        if (range.last < range.first) {
            continue;
        }
        if (!result.empty() && reaches(result.back(), range.first)) {
            result.back().last = std::max(std::move(result.back().last), std::move(range.last));
        } else {
            result.push_back(std::move(range));
        }
    }
    return result;
}

bool covers(std::span<const KeyRange> ranges, const KeyRange& range) {
    const auto behind = std::upper_bound(
        ranges.begin(), ranges.end(), range.first, [](const std::string& key, const auto& other) {
            return key < other.first;
        });
    return behind != ranges.begin() && range.last <= std::prev(behind)->last;
}

}  // namespace starling::storage
