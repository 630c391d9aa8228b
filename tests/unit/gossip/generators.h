#pragma once

// Random records, certificates and items from small ranges, so that they often meet.

#include <string>

#include <rapidcheck.h>

#include "gossip/membership.h"

namespace starling::gossip {

inline rc::Gen<std::string> small_string() {
    return rc::gen::element<std::string>("", "a", "b", "longer");
}

inline rc::Gen<MemberRecord> any_record(uint64_t nodes) {
    return rc::gen::exec([nodes] {
        MemberRecord record;
        record.id = base::NodeId(*rc::gen::inRange<uint64_t>(1, nodes + 1));
        record.generation = *rc::gen::inRange<uint32_t>(1, 4);
        record.version = *rc::gen::inRange<uint64_t>(0, 4);
        record.peer_address = *rc::gen::element<std::string>("h:1", "h:2");
        record.client_address = *small_string();
        record.zone = *small_string();
        record.weight = *rc::gen::inRange<uint32_t>(1, 4);
        record.state = static_cast<MemberState>(*rc::gen::inRange(1, 5));
        record.payload = *small_string();
        return record;
    });
}

inline rc::Gen<DeathCertificate> any_certificate(uint64_t nodes) {
    return rc::gen::exec([nodes] {
        return DeathCertificate{base::NodeId(*rc::gen::inRange<uint64_t>(1, nodes + 1)),
                                base::NodeId(*rc::gen::inRange<uint64_t>(1, 4)),
                                *rc::gen::inRange<uint64_t>(0, 3)};
    });
}

// A state as it comes about: a few merges in some order.
inline rc::Gen<Membership> any_membership(uint64_t nodes) {
    return rc::gen::exec([nodes] {
        Membership membership;
        const int steps = *rc::gen::inRange(0, 12);
        for (int i = 0; i < steps; ++i) {
            switch (*rc::gen::inRange(0, 6)) {
                case 0:
                    membership.merge(*any_certificate(nodes));
                    break;
                case 1:
                    membership.merge_item(*rc::gen::element<std::string>("k1", "k2"),
                                          {*rc::gen::inRange<uint64_t>(0, 3), *small_string()});
                    break;
                default:
                    membership.merge(*any_record(nodes));
            }
        }
        return membership;
    });
}

inline void merge_all(Membership& into, const Membership& from) {
    for (const auto& [node, member] : from.members())
        into.merge(member.record);
    for (const auto& [node, certificate] : from.certificates())
        into.merge(certificate);
    for (const auto& [key, held] : from.items())
        into.merge_item(key, held.item);
}

inline Membership merged(Membership a, const Membership& b) {
    merge_all(a, b);
    return a;
}

}  // namespace starling::gossip
