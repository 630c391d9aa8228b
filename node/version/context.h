#pragma once

// The causal context of one key: for each actor the highest sequence known. An entry (a: n) claims
// that every dot of `a` for this key up to n is reflected by whoever holds the context (invariant
// I2).

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "node/version/dot.h"

namespace starling::node {

class Context {
  public:
    struct Entry {
        Actor actor;
        uint64_t sequence = 0;
        friend auto operator<=>(const Entry&, const Entry&) = default;
    };

    // The dot's sequence is at most this context's entry for its actor.
    bool covers(const Dot& dot) const;
    // Every entry of `other` is covered.
    bool covers(const Context& other) const;
    // 0 for an actor that is not there.
    uint64_t sequence_of(const Actor& actor) const;
    // Raises the dot's actor to at least its sequence. REQUIRES: a sequence of 1 or more.
    void add(const Dot& dot);
    // Least upper bound. True when this context grew.
    bool merge(const Context& other);

    bool empty() const { return entries_.empty(); }
    // Ordered by actor.
    const std::vector<Entry>& entries() const { return entries_; }

    void encode(std::string& out) const;
    // Fails the reader on entries out of order, repeated, or with sequence 0.
    static Context decode(base::Reader& in);

    friend bool operator==(const Context&, const Context&) = default;

  private:
    std::vector<Entry> entries_;
};

std::string to_string(const Context& context);

}  // namespace starling::node
