#pragma once

// Builds the content of a block (docs/formats/table.md): sorted entries, each key without the
// prefix it shares with the one before, and from time to time a whole key as a restart point to
// search from.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace starling::storage::lsm {

class BlockBuilder {
  public:
    explicit BlockBuilder(size_t restart_interval) : restart_interval_(restart_interval) {}

    // REQUIRES: internal keys in ascending order.
    void add(std::string_view key, std::string_view value);
    // The content; valid until reset().
    std::string_view finish();
    void reset();

    bool empty() const { return restarts_.empty(); }
    size_t size() const { return content_.size() + 4 * restarts_.size() + 4; }

  private:
    void append_sizes(size_t shared, size_t unshared, size_t value);

    const size_t restart_interval_;
    std::string content_;
    std::vector<uint32_t> restarts_;
    size_t since_restart_ = 0;
    std::string last_key_;
};

}  // namespace starling::storage::lsm
