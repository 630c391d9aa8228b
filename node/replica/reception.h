#pragma once

// R2: what becomes of a record that a coordinator, or a keeper of hints, sends to a replica. Pure.

#include <optional>

#include "node/replica/knowledge.h"
#include "node/version/record.h"

namespace starling::node {

// As what a record comes, and with which write.
struct Carrier {
    // The write the record was sent for: once seen, it changes nothing. Without: the state of
    // another owner, merged.
    std::optional<Dot> dot{};
    // It was kept for this node, and may hold writes of a life that has ended since.
    bool is_hint = false;
    // It is the result of a read, which is to be told what of it is superseded here.
    bool is_repair = false;
};

struct Reception {
    enum class Kind {
        merge,
        // It is reflected here: acknowledged, and nothing of it applied.
        seen_before,
        // It is refused, for a write that was not seen here before its node's life ended.
        of_ended_life,
        // It is refused: it holds a write that the frontier has and the record here does not
        // account for. Either it is of before a tombstone that was collected since, or that write
        // was lost everywhere and sealed, and what it replaced must not go with it.
        unaccounted,
    };
    Kind kind = Kind::merge;
    // For of_ended_life.
    Dot dot{};
};

// `local`, `seen`: what this replica holds and has seen. `frozen`: the lives that are known to have
// ended (R6).
Reception receive(const Carrier& carrier,
                  const Record& local,
                  const Record& incoming,
                  const Starts& frozen,
                  const Frontier& seen);

}  // namespace starling::node
