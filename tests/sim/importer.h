#pragma once

// A client that keeps a store of cold data: it writes many keys in one go, rests, reads them back
// with R = 1 and its session tokens, and later deletes them in one go. Nobody else touches these
// keys, so a replica that has missed some gets them from the comparison with others or not at all,
// many at a time; keys that everybody writes are set right by the next write.

#include <map>
#include <vector>

#include "tests/sim/operations.h"

namespace starling::sim {

class Importer {
  public:
    struct World {
        env::SimScheduler& scheduler;
        const env::SimRandom& random;
        const RunOptions& options;
        Oracle& oracle;
    };

    // Makes its keys in the oracle, of `name_space`.
    Importer(World world, const node::NamespaceInfo& name_space);
    ~Importer();
    Importer(const Importer&) = delete;
    Importer& operator=(const Importer&) = delete;

    // REQUIRES: before end(), the operations outlive this.
    void begin(Operations& operations);
    void end() { running_ = false; }

  private:
    enum class Stage : uint8_t { import, verify, remove };

    struct Entry {
        KeyIndex key;
        SessionSeen seen = {};
    };

    // Reads once or more after each import and each removal, which take turns.
    Stage stage_after(Stage stage);
    void run(Stage stage);
    // The entries from `next` on, one after the other, without waiting for answers.
    void go_on(Stage stage, size_t next);
    void write(Entry& entry, bool is_delete);
    void read(Entry& entry);
    template <typename Function>
    void after(base::Duration delay, Function function);

    const World world_;
    env::SimRandom random_;
    Operations* operations_ = nullptr;
    // Each stays where it is: callbacks know it.
    std::vector<Entry> entries_;
    bool is_stored_ = false;
    bool running_ = false;
    uint64_t serial_ = 0;
};

}  // namespace starling::sim
