#pragma once

// Puts the changes of a batch into a memtable, each under the next sequence.

#include <string_view>

#include "storage/engine.h"
#include "storage/lsm/memtable.h"

namespace starling::storage::lsm {

class MemtableAdder final : public WriteBatch::Handler {
  public:
    // `last`: the sequence before the batch.
    MemtableAdder(Memtable& memtable, Sequence last) : memtable_(memtable), sequence_(last) {}

    void put(std::string_view key, std::string_view value, Expiry expiry) override {
        memtable_.add_put(++sequence_, key, value, expiry);
        bytes_ += key.size() + value.size();
    }
    void remove(std::string_view key) override {
        memtable_.add(++sequence_, ChangeKind::remove, key, {});
        bytes_ += key.size();
    }
    void remove_range(std::string_view begin, std::string_view end) override {
        memtable_.remove_range(++sequence_, begin, end);
        bytes_ += begin.size() + end.size();
    }

    // Of the last change.
    Sequence sequence() const { return sequence_; }
    // Of keys and values.
    uint64_t bytes() const { return bytes_; }

  private:
    Memtable& memtable_;
    Sequence sequence_;
    uint64_t bytes_ = 0;
};

}  // namespace starling::storage::lsm
