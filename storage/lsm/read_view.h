#pragma once

// Everything a read looks at: memtables and a version, as they were at one moment. Readers share a
// view by shared_ptr, so memtables and tables stay while somebody reads them.

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"

#include "storage/lsm/memtable.h"
#include "storage/lsm/published_pointer.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

struct ReadView {
    std::shared_ptr<Memtable> active;
    // Full ones that wait for their flush, newest first.
    std::vector<std::shared_ptr<Memtable>> immutable;
    std::shared_ptr<const Version> version;
    // Written, and not yet in the version.
    std::vector<RangeRemoval> unflushed_range_removals;
    // Those and the version's.
    std::shared_ptr<const RangeRemovals> range_removals = std::make_shared<RangeRemovals>();
    // The newest ever, also when it is no longer needed.
    Sequence last_range_removal = 0;
};

// The view that new reads get. Thread-safe; a change replaces the whole view.
class CurrentView {
  public:
    CurrentView(std::shared_ptr<Memtable> active, std::shared_ptr<const Version> version)
        : view_(first_view(std::move(active), std::move(version))) {}

    // Without a lock: this is part of every read.
    std::shared_ptr<const ReadView> get() const { return view_.get(); }

    // The active memtable is full; `next` takes its place.
    void rotate(std::shared_ptr<Memtable> next) {
        change([&](ReadView& view) {
            view.immutable.insert(view.immutable.begin(), std::move(view.active));
            view.active = std::move(next);
        });
    }
    // Those of one batch. REQUIRES: at least one, in the order of their sequences.
    void remove_ranges(std::span<const RangeRemoval> removals) {
        change([&](ReadView& view) {
            view.unflushed_range_removals.insert(
                view.unflushed_range_removals.end(), removals.begin(), removals.end());
            view.last_range_removal = removals.back().sequence;
            collect_range_removals(view);
        });
    }
    // After a change of the version. `current` is asked for it under the lock: a version that was
    // fetched before could replace a later one, which another job has put in meanwhile.
    //
    // Of the oldest immutable memtable, whose content it holds:
    template <typename CurrentVersion>
    void flushed(CurrentVersion&& current) {
        change([&](ReadView& view) {
            const Sequence flushed = view.immutable.back()->last_sequence();
            std::erase_if(view.unflushed_range_removals,
                          [&](const auto& removal) { return removal.sequence <= flushed; });
            view.immutable.pop_back();
            view.version = current();
            collect_range_removals(view);
        });
    }
    template <typename CurrentVersion>
    void compacted(CurrentVersion&& current) {
        change([&](ReadView& view) {
            view.version = current();
            collect_range_removals(view);
        });
    }

  private:
    static std::shared_ptr<const ReadView> first_view(std::shared_ptr<Memtable> active,
                                                      std::shared_ptr<const Version> version) {
        ReadView view;
        view.active = std::move(active);
        view.version = std::move(version);
        collect_range_removals(view);
        return std::make_shared<const ReadView>(std::move(view));
    }
    static void collect_range_removals(ReadView& view) {
        std::vector<RangeRemoval> removals = view.version->range_removals().list();
        removals.insert(removals.end(),
                        view.unflushed_range_removals.begin(),
                        view.unflushed_range_removals.end());
        if (removals != view.range_removals->list()) {
            view.range_removals = std::make_shared<RangeRemovals>(std::move(removals));
        }
    }
    template <typename Change>
    void change(Change&& apply) {
        // The old view, and all that only it holds, goes away outside the lock.
        decltype(view_.set(nullptr)) old;
        absl::MutexLock lock(&mutex_);
        ReadView next = *view_.get();
        apply(next);
        old = view_.set(std::make_shared<const ReadView>(std::move(next)));
    }

    // Of who changes the view.
    absl::Mutex mutex_;
    PublishedPointer<const ReadView> view_;
};

}  // namespace starling::storage::lsm
