// Membership as peers and disks bring it: parts, each with a kind and a length. Oracles: what
// decodes encodes to the same bytes; the state does not depend on the order of the parts, nor on a
// part that comes twice; the state comes back from its encoding; a delta of the whole state gives
// another node the same state.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/stubs/logging.h>

#include "base/check.h"
#include "base/codec.h"
#include "gossip/delta.h"
#include "gossip/member.h"
#include "gossip/membership.h"
#include "starling/peer/gossip.pb.h"

namespace {

using namespace starling;
using gossip::Membership;

constexpr size_t parts_max = 32;

void merge_record(Membership& into, std::string_view bytes) {
    const auto record = gossip::decode_member(bytes);
    if (record.ok()) {
        STARLING_CHECK(gossip::encode(*record) == bytes);
        into.merge(*record);
    }
}

void merge_state(Membership& into, std::string_view bytes) {
    const auto state = Membership::decode_state(bytes);
    if (!state.ok()) {
        return;
    }
    STARLING_CHECK(state->encode_state() == bytes);
    for (const auto& [id, certificate] : state->certificates()) {
        into.merge(certificate);
    }
    for (const auto& [id, member] : state->members()) {
        into.merge(member.record);
    }
    for (const auto& [key, held] : state->items()) {
        into.merge_item(key, held.item);
    }
}

void merge_message(Membership& into, std::string_view bytes) {
    // It reports each string that is not UTF-8.
    const google::protobuf::LogSilencer silence;
    peer::GossipMessage message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !message.has_delta()) {
        return;
    }
    gossip::StateChanges changes;
    gossip::merge_into(into, message.delta(), base::NodeId(), changes);
}

struct Part {
    uint8_t kind = 0;
    std::string_view bytes;
};

void merge_part(Membership& into, const Part& part) {
    base::Reader in(part.bytes);
    switch (part.kind % 5) {
        case 0:
            return merge_record(into, part.bytes);
        case 1: {
            const base::NodeId node(in.u64());
            const base::NodeId by(in.u64());
            into.merge(gossip::DeathCertificate{node, by, in.u64()});
            return;
        }
        case 2: {
            const uint64_t version = in.varint();
            const std::string_view key = in.bytes();
            into.merge_item(key, {version, std::string(in.rest())});
            return;
        }
        case 3:
            return merge_state(into, part.bytes);
        default:
            return merge_message(into, part.bytes);
    }
}

std::vector<Part> parts_of(std::string_view input) {
    base::Reader in(input);
    std::vector<Part> parts;
    while (!in.rest().empty() && parts.size() < parts_max) {
        Part part;
        part.kind = in.u8();
        part.bytes = in.take(in.u16());
        if (in.failed()) {
            break;
        }
        parts.push_back(part);
    }
    return parts;
}

void check_encodings(const Membership& state) {
    const auto again = Membership::decode_state(state.encode_state());
    STARLING_CHECK(again.ok());
    STARLING_CHECK(*again == state && again->hash() == state.hash());

    constexpr size_t bytes_target = size_t{64} << 20;
    Membership told;
    gossip::StateChanges changes;
    gossip::merge_into(
        told, gossip::whole_state(state, base::NodeId(), bytes_target), base::NodeId(), changes);
    STARLING_CHECK(told == state && changes.refused == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto parts = parts_of(std::string_view(reinterpret_cast<const char*>(data), size));
    Membership forward;
    for (const Part& part : parts) {
        merge_part(forward, part);
    }
    Membership backward;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        merge_part(backward, *part);
        merge_part(backward, *part);
    }
    STARLING_CHECK(forward == backward && forward.hash() == backward.hash());
    check_encodings(forward);
    return 0;
}
