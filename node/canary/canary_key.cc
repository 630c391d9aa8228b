#include "node/canary/canary_key.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::node {

namespace {

constexpr size_t remembered_max = 16;

void remember(std::deque<std::string>& values, std::string value) {
    values.push_back(std::move(value));
    if (values.size() > remembered_max) {
        values.pop_front();
    }
}

template <typename Values>
bool contains(const Values& values, const std::string& value) {
    return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

CanaryKey::Step CanaryKey::next_step(base::MonotonicTime now) const {
    if (is_in_doubt()) {
        return now - *doubtful_since_ > doubt_ ? Step::put : Step::read;
    }
    constexpr std::array steps = {
        Step::put, Step::read, Step::put, Step::read, Step::remove, Step::read};
    return steps[steps_ % steps.size()];
}

std::string CanaryKey::begin_put(base::MonotonicTime now) {
    STARLING_CHECK(!under_way_.has_value());
    std::string value = fmt::format("{}/{}", life_, ++serial_);
    under_way_ = {.is_remove = false, .value = value, .begun = now};
    return value;
}

void CanaryKey::begin_remove(base::MonotonicTime now) {
    STARLING_CHECK(!under_way_.has_value());
    under_way_ = {.is_remove = true, .value = {}, .begun = now};
}

void CanaryKey::write_ended(bool is_acknowledged, base::MonotonicTime now) {
    STARLING_CHECK(under_way_.has_value());
    ++steps_;
    Write write = *std::exchange(under_way_, std::nullopt);
    if (!is_acknowledged) {
        doubtful_since_ = now;
        return;
    }
    if (is_in_doubt() && write.begun - *doubtful_since_ > doubt_) {
        doubtful_since_.reset();
    }
    if (write.is_remove) {
        if (current_.has_value()) {
            remember(deleted_, *std::exchange(current_, std::nullopt));
        }
        return;
    }
    if (current_.has_value()) {
        remember(replaced_, *std::move(current_));
    }
    current_ = std::move(write.value);
    is_current_beyond_earlier_lives_ = write.begun - born_ > doubt_;
}

std::optional<BrokenPromise> CanaryKey::read_ended(const std::vector<std::string>& values) {
    ++steps_;
    for (const std::string& value : values) {
        if (contains(deleted_, value)) {
            return BrokenPromise::deleted_returned;
        }
        if (contains(replaced_, value)) {
            return BrokenPromise::stale_read;
        }
    }
    if (current_.has_value() && is_current_beyond_earlier_lives_ && !is_in_doubt() &&
        !contains(values, *current_)) {
        return BrokenPromise::lost_write;
    }
    return std::nullopt;
}

void CanaryKey::put_in_doubt(base::MonotonicTime now) {
    STARLING_CHECK(!under_way_.has_value());
    doubtful_since_ = now;
}

std::string CanaryKey::expected() const {
    return fmt::format(
        "{}{}", current_.value_or("nothing"), is_in_doubt() ? ", or what a failed write left" : "");
}

}  // namespace starling::node
