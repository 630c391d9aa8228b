#pragma once

// An optimistic transaction: reads a snapshot and its own changes, keeps the changes to itself, and
// applies them at commit() if nobody has changed what it read or wrote. Destruction without
// commit() forgets it.
//
// 1. A key counts as changed when its value is another than in the snapshot, or has expired since.
// 2. An iterator reads the keys it shows. A key that others add to the range it walks through is
// not
//    noticed.
// 3. Values read are kept until the end, to be compared then.
//
// Not thread-safe. The engine must outlive it, and it its iterators.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"
#include "storage/engine.h"

namespace starling::storage {

class Transaction {
  public:
    explicit Transaction(Engine& engine) : engine_(engine), snapshot_(engine.snapshot()) {}

    absl::StatusOr<std::optional<std::string>> get(std::string_view key);
    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key);
    void put(std::string_view key, std::string_view value);
    void put(std::string_view key, std::string_view value, base::WallTime expiry);
    void remove(std::string_view key);
    // Over [lower, upper) (an empty upper bound means to the end), with the changes that the
    // transaction has when this is called.
    std::unique_ptr<Iterator> new_iterator(std::string_view lower = {},
                                           std::string_view upper = {});

    // aborted, naming the key: somebody changed it; the transaction is over. After another error it
    // may be tried again. failed_precondition: it is over already.
    absl::Status commit(WriteOptions options = {});

  private:
    friend class TransactionIterator;

    // nullopt: removed.
    using Changes = std::map<std::string, std::optional<Entry>, std::less<>>;

    absl::Status check_open() const;
    // What the snapshot holds at `key` is part of the conditions from here on.
    void note_read(std::string_view key, const std::optional<std::string>& value);
    absl::Status read_written_keys();

    Engine& engine_;
    // Null: over.
    std::unique_ptr<Snapshot> snapshot_;
    Changes changes_;
    std::map<std::string, std::optional<std::string>, std::less<>> read_;
};

}  // namespace starling::storage
