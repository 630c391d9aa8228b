#pragma once

// Clients that edit: each opens a document of a reject_stale namespace (reads it), thinks, and
// saves over what it has read, some of them with W = 1. They share few documents, so that what one
// of them has open another has often saved meanwhile, through another node. A save that fails or is
// refused is tried again with the same context, or the document is opened anew.

#include <deque>
#include <optional>
#include <vector>

#include "tests/sim/operations.h"

namespace starling::sim {

class Editors {
  public:
    struct World {
        env::SimScheduler& scheduler;
        const env::SimRandom& random;
        const RunOptions& options;
        Oracle& oracle;
    };

    // Makes the documents in the oracle, of the first of `name_spaces` that rejects stale writes.
    // Where there is none, nobody edits.
    Editors(World world, const std::vector<node::NamespaceInfo>& name_spaces);
    ~Editors();
    Editors(const Editors&) = delete;
    Editors& operator=(const Editors&) = delete;

    // REQUIRES: before end(), the operations outlive this.
    void begin(Operations& operations);
    void end() { running_ = false; }

  private:
    struct Editor {
        KeyIndex document;
        // What it has read or saved of the document; none: it is not open.
        std::optional<SeenToken> open = std::nullopt;
    };

    void think(Editor& editor);
    void open(Editor& editor);
    void save(Editor& editor);
    void saved(Editor& editor, PutOutcome outcome);
    bool in_hundred(uint32_t parts) { return random_.below(100) < parts; }

    const World world_;
    env::SimRandom random_;
    Operations* operations_ = nullptr;
    // Each stays where it is: callbacks know it.
    std::deque<Editor> editors_;
    bool running_ = false;
    uint64_t serial_ = 0;
};

}  // namespace starling::sim
