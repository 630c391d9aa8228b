#include "storage/lsm/salvage_iterator.h"

#include <utility>

#include "base/check.h"
#include "base/mark.h"

namespace starling::storage::lsm {

namespace {

class SalvageIterator final : public InternalIterator {
  public:
    SalvageIterator(TableCache& cache, std::span<const TablePtr> tables, const Damage& damage)
        : cache_(cache), tables_(tables), damage_(damage) {}

    bool valid() const override { return entry_.valid(); }
    void seek_to_first() override {
        next_table_ = 0;
        table_.reset();
        status_ = absl::OkStatus();
        entry_.reset({});
        go_to_sound_entry();
    }
    void next() override {
        entry_.next();
        go_to_sound_entry();
    }
    std::string_view key() const override { return entry_.key(); }
    std::string_view value() const override { return entry_.value(); }
    absl::Status status() const override { return status_; }

    void seek_to_last() override { STARLING_CHECK_MSG(false, "goes forward only"); }
    void seek(std::string_view) override { STARLING_CHECK_MSG(false, "goes forward only"); }
    void previous() override { STARLING_CHECK_MSG(false, "goes forward only"); }

  private:
    // From the entry where it stands, or from the end of a block.
    void go_to_sound_entry() {
        for (;;) {
            while (entry_.valid() && damage_.takes_entry(entry_.key(), entry_.value())) {
                STARLING_MARK(give_up_drops_a_value);
                entry_.next();
            }
            if (entry_.valid() || !enter_next_block()) {
                return;
            }
        }
    }

    bool enter_next_block() {
        while (table_ != nullptr || enter_next_table()) {
            const TableMetadata& metadata = *tables_[next_table_ - 1];
            if (next_block_ == table_->block_count()) {
                table_.reset();
                continue;
            }
            const size_t index = next_block_++;
            if (damage_.takes_block(metadata, table_->block_offset(index))) {
                STARLING_MARK(give_up_drops_a_block);
                continue;
            }
            auto block = table_->read_from_file(index);
            if (!block.ok()) {
                status_ = block.status();
                return false;
            }
            entry_.reset(*std::move(block));
            entry_.seek_to_first();
            return true;
        }
        return false;
    }

    bool enter_next_table() {
        while (status_.ok() && next_table_ < tables_.size()) {
            const TableMetadata& metadata = *tables_[next_table_++];
            if (damage_.takes_all_of(metadata)) {
                STARLING_MARK(give_up_drops_a_table);
                continue;
            }
            auto table = cache_.find(metadata, ReadMode::once);
            if (!table.ok()) {
                status_ = table.status();
                return false;
            }
            table_ = *std::move(table);
            next_block_ = 0;
            return true;
        }
        return false;
    }

    TableCache& cache_;
    const std::span<const TablePtr> tables_;
    const Damage& damage_;
    size_t next_table_ = 0;
    // The one before next_table_; null: none is open.
    std::shared_ptr<const Table> table_;
    size_t next_block_ = 0;
    BlockIterator entry_;
    absl::Status status_;
};

}  // namespace

std::unique_ptr<InternalIterator> new_salvage_iterator(TableCache& cache,
                                                       std::span<const TablePtr> tables,
                                                       const Damage& damage) {
    return std::make_unique<SalvageIterator>(cache, tables, damage);
}

}  // namespace starling::storage::lsm
