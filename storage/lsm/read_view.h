#pragma once

// Everything a read looks at: memtables and a version, as they were at one moment. Readers share a
// view by shared_ptr, so memtables and tables stay while somebody reads them.

#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"

#include "storage/lsm/memtable.h"
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

    std::shared_ptr<const ReadView> get() const {
        absl::MutexLock lock(&mutex_);
        return view_;
    }

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
        // The old view, and all that only it holds, goes away outside the lock.
        std::shared_ptr<const ReadView> old;
        absl::MutexLock lock(&mutex_);
        ReadView next = *view_;
        apply(next);
        old = std::exchange(view_, std::make_shared<const ReadView>(std::move(next)));
    }

    mutable absl::Mutex mutex_;
    std::shared_ptr<const ReadView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::storage::lsm
