#pragma once

// Short names for actors, dots, requests and records, so that a test reads like the example it is.

#include <string>
#include <utility>
#include <vector>

#include "node/version/record.h"

namespace starling::node::testing {

inline Actor actor(uint64_t node) {
    return {.node = base::NodeId(node), .start = 1, .random = node * 7};
}

inline Dot dot(uint64_t node, uint64_t sequence) {
    return {.actor = actor(node), .sequence = sequence};
}

inline base::RequestId request(uint64_t number) {
    return {.created_ms = number, .random_high = 0, .random_low = number};
}

inline Context context(const std::vector<Dot>& dots) {
    Context context;
    for (const Dot& dot : dots)
        context.add(dot);
    return context;
}

inline Frontier frontier(const std::vector<Dot>& dots) {
    Frontier frontier;
    for (const Dot& dot : dots)
        frontier.add(dot);
    return frontier;
}

inline NewWrite write(Dot dot, uint64_t request_number, std::string value) {
    return {.dot = dot,
            .request = request(request_number),
            .time = {.wall_ms = 1000 + request_number, .logical = 0},
            .value = std::move(value)};
}

inline NewWrite removal(Dot dot, uint64_t request_number) {
    NewWrite write = testing::write(dot, request_number, "");
    write.is_tombstone = true;
    return write;
}

inline std::vector<std::string> values(const Record& record) {
    std::vector<std::string> values;
    for (const Sibling& sibling : record.siblings) {
        values.push_back(sibling.is_tombstone ? "(deleted)" : sibling.value);
    }
    return values;
}

inline std::string encoded(const Record& record) {
    std::string bytes;
    encode_record(bytes, record);
    return bytes;
}

}  // namespace starling::node::testing
