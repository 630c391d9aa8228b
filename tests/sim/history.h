#pragma once

// All that was ever attempted on one key of one namespace, and which write may, or must, have
// replaced which. It knows only what clients saw: what they sent, when, and what came back.
//
// A write names its request id; however often and through whatever nodes it is tried, it is one
// write, and may get several dots. "Dead" below means: replaced by a write that had seen it.
//
// V **must cover** W (whatever reflects V has dropped W for good) when
//   a. V was sent with a context, and the read that returned this context returned W (or the
//   context was
//      the result of the put W);
//   b. V was sent without context, and W had been acknowledged before V was first sent, by at least
//   as many
//      seats (hints not counted) as the W that V asks for: the exchange with N - W + 1 seats meets
//      one of them;
//   c. V must cover something that must cover W.
// A put that says `blind`, or sends an empty context, must cover nothing.
//
// V **may cover** W (W's absence is explained if V, or something that explains V's absence, is
// there) when
//   d. V must cover W; or
//   e. V was sent without context (blind or not), W was first sent before the last moment at which
//      some node may still have minted a dot for V, and W need not cover V. That moment
//      (Write::settled) is the acknowledgement when nothing else can be under way, and otherwise
//      the end of the last try plus the time for which frames and jobs may linger.
// A delete is invisible in reads, so a delete that may cover W explains W's absence by itself; so
// does a put that may have expired.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "env/sim/scheduler.h"

namespace starling::sim {

using env::SimTime;

// Counts the writes of a key from 1.
using WriteId = base::StrongId<struct WriteIdTag, uint32_t>;

inline constexpr SimTime never = SimTime::max();

// What a write replaces.
enum class Replaces : uint8_t {
    // No context: all that was acknowledged before.
    acknowledged,
    // No context, blind: whatever the coordinating replica holds.
    local,
    // What a context names (an empty one: nothing).
    seen,
};

struct Write {
    base::RequestId request;
    // Unique among the writes of its key; empty for a delete.
    std::string value;
    bool is_delete = false;
    // Unix ms; 0: never.
    uint64_t expires_ms = 0;
    Replaces replaces = Replaces::acknowledged;
    // For Replaces::seen: what the clock of the node showed that gave out the context (Unix ms).
    uint64_t context_clock_ms = 0;
    // The W asked for.
    uint32_t quorum = 0;
    // Of its namespace.
    uint32_t name_space_quorum = UINT32_MAX;
    SimTime started{0};

    // When the first acknowledgement reached the client; never while there was none.
    SimTime acknowledged = never;
    // Seats that had it, durably, at the acknowledgement, up to the W asked for; hints not counted.
    uint32_t strength = 0;
    // After this no further dot of it is minted.
    SimTime settled = never;
    // Every try was refused with an error that promises that nothing was written.
    bool refused = false;
    // Some read returned it.
    bool was_read = false;
    // A majority read is answered only when N - R + 1 seats hold what it returns: from this moment
    // on that many had it, as if it had been acknowledged by them.
    SimTime shown = never;
    uint32_t shown_strength = 0;

    // Direct edges of "must cover".
    std::vector<WriteId> covers = {};
    std::vector<WriteId> covered_by = {};

    // Without a context it meets what so many seats have acknowledged.
    uint32_t meets() const { return std::min(quorum, name_space_quorum); }
};

// Grows to the highest that was added.
class WriteSet {
  public:
    void add(WriteId id) {
        if (words_.size() <= id.raw() / 64) words_.resize(id.raw() / 64 + 1);
        words_[id.raw() / 64] |= bit(id);
    }
    void add(const WriteSet& others) {
        if (words_.size() < others.words_.size()) words_.resize(others.words_.size());
        for (size_t i = 0; i < others.words_.size(); ++i)
            words_[i] |= others.words_[i];
    }
    bool contains(WriteId id) const {
        return id.raw() / 64 < words_.size() && (words_[id.raw() / 64] & bit(id)) != 0;
    }

  private:
    static uint64_t bit(WriteId id) { return uint64_t{1} << (id.raw() % 64); }

    std::vector<uint64_t> words_;
};

class History {
  public:
    // `seen`: for Replaces::seen, the writes that the context came with.
    WriteId attempt(Write write, const std::vector<WriteId>& seen);
    void acknowledge(WriteId id, SimTime now, uint32_t strength);
    // See Write::settled.
    void settle(WriteId id, SimTime last_mint);
    void refuse(WriteId id) { at(id).refused = true; }
    void mark_read(WriteId id) { at(id).was_read = true; }
    // A majority read at `now` returned it: see Write::shown.
    void show(WriteId id, SimTime now, uint32_t strength);

    const Write& get(WriteId id) const { return writes_[id.raw() - 1]; }
    size_t size() const { return writes_.size(); }
    // None where nobody attempted the value on this key.
    WriteId find_value(std::string_view value) const;

    // Acknowledged, and not replaced by an acknowledged write that is at least as strong.
    const std::vector<WriteId>& standing() const { return standing_; }
    // Shown by majority reads, and not known to have been replaced since.
    const std::vector<WriteId>& shown() const { return shown_; }
    // A read that had to return it did not, and rightly so.
    void forget_shown(WriteId id) { std::erase(shown_, id); }
    // Acknowledged or seen by a read.
    std::vector<WriteId> known() const;

    // Directly, or by what it covers. Only what was sent before it can be.
    bool must_cover(WriteId upper, WriteId lower) const {
        return below_[upper.raw() - 1].contains(lower);
    }
    // A write that must cover `id` and fulfils `predicate`; none if there is none.
    template <typename Predicate>
    WriteId find_superseder(WriteId id, Predicate predicate) const;
    // May `id` rightly be missing where exactly `present` (and any deletes) are live?
    // What expires up to `expired_by_ms` may have. So may what had expired for the node that gave
    // out the context of any write: that is in the context, unseen, and the write has replaced it.
    bool absence_explained(WriteId id,
                           const std::vector<WriteId>& present,
                           uint64_t expired_by_ms = 0) const;
    bool may_have_expired(WriteId id, uint64_t expired_by_ms) const {
        const uint64_t expires_ms = get(id).expires_ms;
        return expires_ms != 0 && expires_ms <= std::max(expired_by_ms, context_clock_ms_);
    }

    std::string describe(WriteId id) const;

  private:
    Write& at(WriteId id) { return writes_[id.raw() - 1]; }
    // Does a write without context that was sent before `lower`, and may cover it, fulfil
    // `predicate`?
    template <typename Open, typename Predicate>
    bool any_earlier_may_cover_unseen(WriteId lower,
                                      const Open& is_open,
                                      const Predicate& predicate) const;

    std::vector<Write> writes_;
    // By write, each earlier one: must it cover that?
    std::vector<WriteSet> below_;
    // The highest of the writes.
    uint64_t context_clock_ms_ = 0;
    std::vector<WriteId> standing_;
    std::vector<WriteId> shown_;
    // Writes without context, in order of start; and by their places, when they and those before
    // them had all settled.
    std::vector<WriteId> without_context_;
    std::vector<SimTime> settled_up_to_;
    std::unordered_map<std::string, WriteId> by_value_;
};

template <typename Predicate>
WriteId History::find_superseder(WriteId id, Predicate predicate) const {
    std::vector<bool> visited(writes_.size() + 1, false);
    std::vector<WriteId> waiting{id};
    visited[id.raw()] = true;
    while (!waiting.empty()) {
        const WriteId next = waiting.back();
        waiting.pop_back();
        for (const WriteId upper : get(next).covered_by) {
            if (visited[upper.raw()]) continue;
            visited[upper.raw()] = true;
            if (predicate(upper)) return upper;
            waiting.push_back(upper);
        }
    }
    return WriteId();
}

}  // namespace starling::sim
