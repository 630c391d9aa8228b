#include "node/replica/hint_store.h"

#include <utility>

#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"

namespace starling::node {

namespace {

// Before every key of the owner: an actor of zeros is never minted by.
HintKey first_key(const HintStore::Owner& owner) {
    return {.group = owner.group, .seat = owner.seat, .dot = {}, .key = {}};
}

// In memory each hint has an entry with its key.
uint64_t bytes_of(const HintKey& key, size_t stored_bytes) {
    constexpr uint64_t entry_bytes = sizeof(HintKey) + sizeof(uint64_t);
    // Nodes of the map are two thirds full on average.
    return stored_bytes + entry_bytes * 3 / 2 + key.key.size();
}

}  // namespace

HintStore::HintStore(CommitQueue& commits, storage::Engine& engine, uint64_t bytes_max)
    : commits_(commits), engine_(engine), bytes_max_(bytes_max) {}

absl::Status HintStore::load() {
    const auto iterator = engine_.new_iterator(
        {.lower = storage_keys::hints_begin(), .upper = storage_keys::hints_end()});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        auto key = storage_keys::parse_hint(iterator->key());
        if (!key.has_value()) {
            return absl::DataLossError("the key of a stored hint does not decode");
        }
        add(*std::move(key), iterator->value().size());
    }
    if (absl::IsDataLoss(iterator->status())) {
        STARLING_MARK(hints_load_damaged);
        is_complete_ = false;
    }
    return iterator->status();
}

void HintStore::take_up(HintKey key, uint64_t bytes) {
    taken_up_.insert(key);
    add(std::move(key), bytes);
}

void HintStore::add(HintKey key, uint64_t bytes) {
    const uint64_t size = bytes_of(key, storage_keys::hint(key).size() + bytes);
    count(key, 1);
    hints_.emplace(std::move(key), size);
    bytes_ += size;
}

void HintStore::keep_within(uint64_t bytes_max, HintKey key, std::string_view record, Done done) {
    if (STARLING_PLANTED(hint_replaces_another)) {
        for (const HintKey& other : next({key.group, key.seat}, nullptr, hints_.size())) {
            if (other.key == key.key) remove(other);
        }
    }
    const std::string storage_key = storage_keys::hint(key);
    const uint64_t size = bytes_of(key, storage_key.size() + record.size());
    const auto known = hints_.find(key);
    const uint64_t size_before = known == hints_.end() ? 0 : known->second;
    if (known != hints_.end()) {
        STARLING_MARK(hint_known_already);
    }
    if (!is_complete_ && known == hints_.end() && record.empty()) {
        STARLING_MARK(hint_reference_while_incomplete);
        done(absl::UnavailableError("hints of this node cannot all be read now"));
        return;
    }
    // What is known may be what cannot be read any more.
    const bool may_be_lost = known != hints_.end() && size == size_before && !engine_.damage().ok();
    if (may_be_lost) STARLING_MARK(hint_written_again_beside_damage);
    // A whole write takes the place of a reference to it: the record that refers to may go.
    if (size > size_before || may_be_lost) {
        if (bytes_ - size_before + size > bytes_max && !STARLING_PLANTED(hint_budget_ignored)) {
            STARLING_MARK(hint_budget_spent);
            done(base::make_error(absl::StatusCode::kResourceExhausted,
                                  base::reason::overloaded,
                                  "the hint budget (hint_bytes_max) is spent"));
            return;
        }
        storage::WriteBatch batch;
        batch.put(storage_key, record);
        // A reference is small, and may be what a damaged replica waits for (shard_healing.h).
        const storage::WriteOptions options{.urgent = record.empty()};
        if (absl::Status status = commits_.apply(batch, options); !status.ok()) {
            STARLING_MARK(hint_write_refused);
            done(std::move(status));
            return;
        }
        if (known == hints_.end()) {
            count(key, 1);
        } else if (size > size_before) {
            STARLING_MARK(hint_takes_place_of_reference);
        }
        taken_up_.erase(key);
        hints_.insert_or_assign(std::move(key), size);
        bytes_ = bytes_ - size_before + size;
    }
    if (STARLING_PLANTED(hint_acked_before_durable)) {
        std::exchange(done, [](const absl::Status&) {})(absl::OkStatus());
    }
    commits_.when_durable(std::move(done));
}

bool HintStore::remove(const HintKey& key) {
    const auto found = hints_.find(key);
    if (found == hints_.end()) {
        return true;
    }
    storage::WriteBatch batch;
    batch.remove(storage_keys::hint(key));
    // A removal that fails, or is lost in a crash, means one more delivery of what the owner has.
    if (!commits_.apply(batch).ok()) {
        STARLING_MARK(hint_not_removed);
        return false;
    }
    bytes_ -= found->second;
    count(key, -1);
    taken_up_.erase(key);
    hints_.erase(found);
    return true;
}

bool HintStore::remove_reference(const HintKey& key) {
    const auto found = hints_.find(key);
    if (found != hints_.end() && found->second > bytes_of(key, storage_keys::hint(key).size())) {
        STARLING_MARK(hint_took_place_of_its_reference);
        return true;
    }
    return remove(key);
}

void HintStore::count(const HintKey& key, int64_t change) {
    const Life life{.group = key.group, .node = key.dot.actor.node, .start = key.dot.actor.start};
    int64_t& hints = lives_[life];
    hints += change;
    if (hints == 0) lives_.erase(life);
}

bool HintStore::has_of_life_before(GroupId group, base::NodeId node, uint32_t start) const {
    if (!is_complete_) return true;
    const auto first = lives_.lower_bound({.group = group, .node = node, .start = 0});
    return first != lives_.end() && first->first.group == group && first->first.node == node &&
           first->first.start < start;
}

std::vector<HintStore::Owner> HintStore::owners() const {
    std::vector<Owner> found;
    auto it = hints_.begin();
    while (it != hints_.end()) {
        const Owner owner{.group = it->first.group, .seat = it->first.seat};
        found.push_back(owner);
        it = hints_.lower_bound(
            first_key({.group = owner.group,
                       .seat = base::SeatIndex(static_cast<uint8_t>(owner.seat.raw() + 1))}));
    }
    return found;
}

std::vector<HintKey> HintStore::select(absl::FunctionRef<bool(std::string_view)> is_wanted) const {
    std::vector<HintKey> found;
    for (const auto& [key, size] : hints_) {
        if (is_wanted(storage_keys::hint(key))) found.push_back(key);
    }
    return found;
}

std::vector<HintKey> HintStore::next(const Owner& owner,
                                     const HintKey* after,
                                     size_t count_max) const {
    std::vector<HintKey> found;
    auto it = after == nullptr ? hints_.lower_bound(first_key(owner)) : hints_.upper_bound(*after);
    for (; it != hints_.end() && found.size() < count_max; ++it) {
        if (it->first.group != owner.group || it->first.seat != owner.seat) {
            break;
        }
        found.push_back(it->first);
    }
    return found;
}

}  // namespace starling::node
