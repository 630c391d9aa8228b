#pragma once

// What a transaction sees: its changes laid over the snapshot it reads.

#include <memory>
#include <string_view>

#include "absl/status/status.h"

#include "storage/transaction.h"

namespace starling::storage {

class TransactionIterator final : public Iterator {
  public:
    // `open`: an error, if the transaction is over; then nothing is shown. `changes`: those within
    // the bounds of `stored`.
    TransactionIterator(absl::Status open,
                        Transaction& transaction,
                        std::unique_ptr<Iterator> stored,
                        Transaction::Changes changes)
        : status_(std::move(open)),
          transaction_(transaction),
          stored_(std::move(stored)),
          changes_(std::move(changes)),
          change_(changes_.end()) {}

    bool valid() const override { return shown_ != Shown::nothing; }
    void seek_to_first() override;
    void seek_to_last() override;
    void seek(std::string_view target) override;
    void seek_before(std::string_view target) override;
    void next() override;
    void previous() override;
    std::string_view key() const override;
    std::string_view value() const override;
    Expiry expiry() const override;
    absl::Status status() const override { return status_.ok() ? stored_->status() : status_; }

  private:
    enum class Shown { nothing, stored, change };

    bool has_change() const { return change_ != changes_.end(); }
    // Forward, both stand on their first key not yet shown; backward on their last.
    void show_first();
    void show_last();
    void next_change() { ++change_; }
    void previous_change() { change_ = change_ == changes_.begin() ? changes_.end() : --change_; }
    void note_stored();

    const absl::Status status_;
    Transaction& transaction_;
    const std::unique_ptr<Iterator> stored_;
    const Transaction::Changes changes_;
    Transaction::Changes::const_iterator change_;
    Shown shown_ = Shown::nothing;
    bool forward_ = true;
};

}  // namespace starling::storage
