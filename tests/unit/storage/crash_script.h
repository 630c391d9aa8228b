#pragma once

// A scripted run of an engine on a simulated disk, that remembers what a restart may find.
//
// Batch i puts its number under a key of its own and under keys it shares with others, removes one,
// and sometimes a range. So the content tells which batches are in it, and whether one is there in
// part.

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {

class CrashScript {
  public:
    CrashScript(env::SimFileSystem& files, EngineOptions options)
        : files_(files), options_(std::move(options)) {}

    // Runs until the end, or until something fails. The first error; OK: none.
    absl::Status run();
    // As run(), but goes on after errors, as a server does, and opens the engine anew when it
    // refuses.
    void run_on();

    // The process ends, without close.
    void kill() {
        engine_.reset();
        workers_.drop_all();
    }

    // "" when `found` is a state the engine may have after a crash; else what is wrong.
    std::string judge(const Model& found) const;
    // Opens the engine, judges its content, and checks that it still takes and keeps writes.
    static std::string check_after_restart(env::SimFileSystem& files,
                                           const CrashScript& script,
                                           const EngineOptions& options);

    size_t batches_acknowledged() const { return acknowledged_; }
    size_t batches_written() const { return states_.size() - 1; }

  private:
    absl::Status open();
    absl::Status write(size_t number, bool sync);
    absl::Status sync();
    absl::Status step(size_t number);

    env::SimFileSystem& files_;
    const EngineOptions options_;
    QueueWorkers workers_;
    std::unique_ptr<Engine> engine_;
    // states_[i]: after the first i batches that were, or may have been, applied.
    std::vector<Model> states_{Model()};
    size_t acknowledged_ = 0;
    // What a reopening in the script found wrong.
    std::string wrong_;
};

}  // namespace starling::storage
