#include "node/replica/owner_memory.h"

#include <utility>

#include "base/codec.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

std::string OwnerMemory::encode(const Owners& owners) {
    std::string out;
    base::put_varint(out, owners.size());
    for (const auto& [owner, told] : owners) {
        base::put_u64(out, owner.raw());
        base::put_u64(out, told.tenure);
        base::put_varint(out, told.epoch);
        told.frontier.encode(out);
    }
    return out;
}

absl::StatusOr<OwnerMemory::Owners> OwnerMemory::decode(std::string_view bytes) {
    constexpr size_t entry_bytes_min = 18;
    base::Reader in(bytes);
    Owners owners;
    const size_t count = in.count(entry_bytes_min);
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const base::NodeId owner(in.u64());
        Told told;
        told.tenure = in.u64();
        told.epoch = in.varint();
        told.frontier = Frontier::decode(in);
        owners[owner] = std::move(told);
    }
    if (!in.finished()) {
        return absl::DataLossError("what other owners have told does not decode");
    }
    return owners;
}

absl::Status OwnerMemory::load(storage::Engine& engine) {
    const auto iterator = engine.new_iterator({.lower = storage_keys::owners_begin(),
                                               .upper = storage_keys::owners_end(),
                                               .snapshot = nullptr});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto group = storage_keys::parse_owners(iterator->key());
        if (!group.has_value()) {
            return absl::DataLossError("the key of what other owners have told does not decode");
        }
        STARLING_ASSIGN_OR_RETURN(groups_[*group], decode(iterator->value()));
    }
    return iterator->status();
}

void OwnerMemory::note(GroupId group, base::NodeId owner, const Told& told) {
    const auto [place, is_new] = groups_[group].try_emplace(owner, told);
    Told& known = place->second;
    if (!is_new) {
        if (known.tenure == told.tenure && known.epoch > told.epoch) return;
        if (known.tenure == told.tenure && known.epoch == told.epoch) {
            if (known.frontier.contains(told.frontier)) return;
            known.frontier.unite(told.frontier);
        } else {
            known = told;
        }
    }
    unsaved_.insert(group);
}

const OwnerMemory::Told* OwnerMemory::told(GroupId group, base::NodeId owner) const {
    const auto owners = groups_.find(group);
    if (owners == groups_.end()) return nullptr;
    const auto found = owners->second.find(owner);
    return found == owners->second.end() ? nullptr : &found->second;
}

void OwnerMemory::forget(GroupId group) {
    if (groups_.erase(group) > 0) unsaved_.insert(group);
}

void OwnerMemory::save(CommitQueue& commits) {
    if (unsaved_.empty()) return;
    storage::WriteBatch batch;
    for (const GroupId group : unsaved_) {
        const auto owners = groups_.find(group);
        if (owners == groups_.end()) {
            batch.remove(storage_keys::owners(group));
        } else {
            batch.put(storage_keys::owners(group), encode(owners->second));
        }
    }
    if (commits.apply(batch).ok()) {
        unsaved_.clear();
    } else {
        STARLING_MARK(owner_memory_not_written);
    }
}

}  // namespace starling::node
