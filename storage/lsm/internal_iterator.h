#pragma once

// Moves over entries (internal keys and values) of one source: a memtable, a table, a level, or a
// merge of them. As storage::Iterator, but without bounds and snapshots. An iterator that met an
// error is not valid, and stays so until the next seek.

#include <string_view>

#include "absl/status/status.h"

namespace starling::storage::lsm {

class InternalIterator {
  public:
    virtual ~InternalIterator() = default;
    virtual bool valid() const = 0;
    virtual void seek_to_first() = 0;
    virtual void seek_to_last() = 0;
    // The first entry at or after an internal key.
    virtual void seek(std::string_view internal_key) = 0;
    virtual void next() = 0;
    virtual void previous() = 0;
    virtual std::string_view key() const = 0;
    virtual std::string_view value() const = 0;
    virtual absl::Status status() const = 0;
    // next() or previous(), valid() and key() in one call. False: not valid.
    virtual bool step(std::string_view& new_key) {
        next();
        return look(new_key);
    }
    virtual bool step_back(std::string_view& new_key) {
        previous();
        return look(new_key);
    }
    bool look(std::string_view& key_here) const {
        if (!valid()) {
            return false;
        }
        key_here = key();
        return true;
    }
};

}  // namespace starling::storage::lsm
