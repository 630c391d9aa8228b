#include "storage/transaction.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "storage/operations.h"
#include "storage/transaction_iterator.h"

namespace starling::storage {

absl::Status Transaction::check_open() const {
    return snapshot_ != nullptr ? absl::OkStatus()
                                : absl::FailedPreconditionError("the transaction is over");
}

absl::StatusOr<std::optional<std::string>> Transaction::get(std::string_view key) {
    STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, get_entry(key));
    return entry.has_value() ? std::optional<std::string>(std::move(entry->value)) : std::nullopt;
}

absl::StatusOr<std::optional<Entry>> Transaction::get_entry(std::string_view key) {
    STARLING_RETURN_IF_ERROR(check_open());
    if (const auto change = changes_.find(key); change != changes_.end()) {
        return change->second;
    }
    STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, engine_.get_entry(key, snapshot_.get()));
    note_read(key, entry.has_value() ? std::optional<std::string>(entry->value) : std::nullopt);
    return entry;
}

void Transaction::put(std::string_view key, std::string_view value) {
    changes_.insert_or_assign(std::string(key), Entry{.value = std::string(value)});
}

void Transaction::put(std::string_view key, std::string_view value, base::WallTime expiry) {
    changes_.insert_or_assign(std::string(key),
                              Entry{.value = std::string(value),
                                    .expiry = std::max<Expiry>(base::to_unix_ms(expiry), 1)});
}

void Transaction::remove(std::string_view key) {
    changes_.insert_or_assign(std::string(key), std::nullopt);
}

std::unique_ptr<Iterator> Transaction::new_iterator(std::string_view lower,
                                                    std::string_view upper) {
    auto stored = engine_.new_iterator(
        {.lower = std::string(lower), .upper = std::string(upper), .snapshot = snapshot_.get()});
    const auto begin = changes_.lower_bound(lower);
    const auto end = upper.empty() ? changes_.end() : changes_.lower_bound(std::max(lower, upper));
    return std::make_unique<TransactionIterator>(
        check_open(), *this, std::move(stored), Changes(begin, end));
}

void Transaction::note_read(std::string_view key, const std::optional<std::string>& value) {
    if (!read_.contains(key)) {
        read_.emplace(key, value);
    }
}

absl::Status Transaction::read_written_keys() {
    for (const auto& change : changes_) {
        if (!read_.contains(change.first)) {
            STARLING_ASSIGN_OR_RETURN(std::optional<std::string> value,
                                      engine_.get(change.first, snapshot_.get()));
            read_.emplace(change.first, std::move(value));
        }
    }
    return absl::OkStatus();
}

absl::Status Transaction::commit(WriteOptions options) {
    STARLING_RETURN_IF_ERROR(check_open());
    STARLING_RETURN_IF_ERROR(read_written_keys());
    WriteBatch batch;
    for (const auto& [key, entry] : changes_) {
        if (!entry.has_value()) {
            batch.remove(key);
        } else if (entry->expiry == never) {
            batch.put(key, entry->value);
        } else {
            batch.put(key, entry->value, to_wall_time(entry->expiry));
        }
    }
    std::vector<Condition> conditions;
    conditions.reserve(read_.size());
    for (const auto& [key, value] : read_) {
        conditions.push_back({.key = key, .expected = value});
    }
    absl::Status status = engine_.write_if(conditions, batch, options);
    if (status.ok() || absl::IsAborted(status)) {
        snapshot_.reset();
        changes_.clear();
        read_.clear();
    }
    return status;
}

}  // namespace starling::storage
