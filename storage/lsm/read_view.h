#pragma once

// Everything a read looks at: memtables and a version, as they were at one moment. Readers share a
// view by shared_ptr, so memtables and tables stay while somebody reads them.

#include <memory>
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
};

// The view that new reads get. Thread-safe; a change replaces the whole view.
class CurrentView {
  public:
    explicit CurrentView(ReadView view)
        : view_(std::make_shared<const ReadView>(std::move(view))) {}

    // Without a lock: this is part of every read.
    std::shared_ptr<const ReadView> get() const { return view_.get(); }

    // The active memtable is full; `next` takes its place.
    void rotate(std::shared_ptr<Memtable> next) {
        change([&](ReadView& view) {
            view.immutable.insert(view.immutable.begin(), std::move(view.active));
            view.active = std::move(next);
        });
    }
    // `version` holds what the oldest immutable memtable held.
    void flushed(std::shared_ptr<const Version> version) {
        change([&](ReadView& view) {
            view.immutable.pop_back();
            view.version = std::move(version);
        });
    }
    void compacted(std::shared_ptr<const Version> version) {
        change([&](ReadView& view) { view.version = std::move(version); });
    }

  private:
    template <typename Change>
    void change(Change&& apply) {
        absl::ReleasableMutexLock lock(&mutex_);
        ReadView next = *view_.get();
        apply(next);
        const auto old = view_.set(std::make_shared<const ReadView>(std::move(next)));
        // The old view, and all that only it holds, goes away outside the lock.
        lock.Release();
    }

    // Of who changes the view.
    absl::Mutex mutex_;
    PublishedPointer<const ReadView> view_;
};

}  // namespace starling::storage::lsm
