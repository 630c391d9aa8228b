#pragma once

// The other owners of each group, and the members, as a test says they are.

#include <optional>
#include <utility>
#include <vector>

#include "node/replica/standing.h"

namespace starling::node::testing {

class FakeOwners final : public StandingHost {
  public:
    std::optional<std::vector<Owner>> other_owners(GroupId) const override { return owners; }
    std::optional<Owner> other_owner(GroupId, base::NodeId node) const override {
        if (!owners.has_value()) return std::nullopt;
        for (const Owner& owner : *owners) {
            if (owner.node == node) return owner;
        }
        return std::nullopt;
    }
    uint64_t own_tenure(GroupId) const override { return tenure; }
    std::vector<base::NodeId> other_members() const override { return members; }
    void ask_hints(GroupId, base::NodeId member) override { asked.push_back(member); }
    uint64_t now_ms() const override { return clock_ms; }

    std::optional<std::vector<Owner>> owners = std::vector<Owner>{};
    std::vector<base::NodeId> members;
    std::vector<base::NodeId> asked;
    uint64_t tenure = 1;
    uint64_t clock_ms = 1'000'000;
};

}  // namespace starling::node::testing
