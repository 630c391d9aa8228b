#include "node/version/dot.h"

#include <fmt/format.h>

namespace starling::node {

void put_actor(std::string& out, const Actor& actor) {
    base::put_u64(out, actor.node.raw());
    base::put_u32(out, actor.start);
    base::put_u64(out, actor.random);
}

Actor read_actor(base::Reader& in) {
    Actor actor;
    actor.node = base::NodeId(in.u64());
    actor.start = in.u32();
    actor.random = in.u64();
    return actor;
}

void put_dot(std::string& out, const Dot& dot) {
    put_actor(out, dot.actor);
    base::put_varint(out, dot.sequence);
}

Dot read_dot(base::Reader& in) {
    Dot dot;
    dot.actor = read_actor(in);
    dot.sequence = in.varint();
    if (dot.sequence == 0) in.fail();
    return dot;
}

std::string to_string(const Actor& actor) {
    return fmt::format("{}.{}.{:016x}", base::to_string(actor.node), actor.start, actor.random);
}

std::string to_string(const Dot& dot) {
    return fmt::format("{}:{}", to_string(dot.actor), dot.sequence);
}

}  // namespace starling::node
