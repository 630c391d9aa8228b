#pragma once

// Who wrote, and which of its writes it was. See docs/causality.md.

#include <compare>
#include <cstdint>
#include <string>

#include "base/codec.h"
#include "base/ids.h"

namespace starling::node {

// One life of one node's process: a writer whose sequences are never used again. `start` is a
// counter stored with the data and durably raised before the first write; `random` is drawn at the
// start, so that two clones of one disk, which raise the counter to the same value, are still two
// actors.
struct Actor {
    base::NodeId node;
    uint32_t start = 0;
    uint64_t random = 0;

    friend auto operator<=>(const Actor&, const Actor&) = default;
};

// One write of one group (partition and N): the `sequence`-th (from 1) that `actor` minted there.
struct Dot {
    Actor actor;
    uint64_t sequence = 0;

    friend auto operator<=>(const Dot&, const Dot&) = default;
};

inline constexpr size_t encoded_actor_bytes = 20;

void put_actor(std::string& out, const Actor& actor);
Actor read_actor(base::Reader& in);
void put_dot(std::string& out, const Dot& dot);
// Fails the reader on sequence 0.
Dot read_dot(base::Reader& in);

// "node.start.random" in hexadecimal, decimal, hexadecimal; a dot adds ":sequence".
std::string to_string(const Actor& actor);
std::string to_string(const Dot& dot);

}  // namespace starling::node
