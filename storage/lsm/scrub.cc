#include "storage/lsm/scrub.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/damage.h"

namespace starling::storage::lsm {

namespace {

// The one with the lowest number in [begin, end); null: none.
TablePtr first_within(const Version& version, uint64_t begin, uint64_t end) {
    TablePtr first;
    for (size_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            if (table->number >= begin && table->number < end) {
                first = table;
                end = table->number;
            }
        }
    }
    return first;
}

std::vector<uint64_t> numbers_of(const Version& version) {
    std::vector<uint64_t> numbers;
    for (size_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            numbers.push_back(table->number);
        }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

// Of index, filter and footer.
uint64_t bytes_behind_blocks(const TableMetadata& table, const Table& opened) {
    const size_t blocks = opened.block_count();
    const uint64_t end =
        blocks == 0 ? 0 : opened.block_offset(blocks - 1) + opened.block_bytes(blocks - 1);
    return table.file_bytes - end;
}

}  // namespace

absl::StatusOr<ScrubStep> Scrub::read_on(const Version& version,
                                         uint64_t bytes,
                                         absl::FunctionRef<bool()> should_stop) {
    DamageSearch search(files_, directory_, tables_, version, should_stop);
    ScrubStep step;
    TablePtr table = next_table(version);
    while (table != nullptr) {
        absl::Status error;
        if (opened_ == nullptr) {
            auto opened = search.open(*table);
            if (opened.ok() && *opened != nullptr) {
                step.bytes += bytes_behind_blocks(*table, **opened);
                opened_ = *std::move(opened);
            } else {
                error = opened.status();
                go_to(table->number + 1);
            }
        } else if (block_ < opened_->block_count() && !STARLING_PLANTED(scrub_reads_no_blocks)) {
            const auto read = search.check_block(*table, *opened_, block_++);
            error = read.status();
            step.bytes += read.value_or(0);
        } else {
            go_to(table->number + 1);
        }
        if (!search.damage().empty()) {
            STARLING_MARK(scrub_met_damage);
            return search.damage().first_error();
        }
        STARLING_RETURN_IF_ERROR(error);
        if (step.bytes >= bytes) {
            return step;
        }
        if (table->number != table_) {
            table = next_table(version);
        }
    }
    step.is_last = true;
    return step;
}

TablePtr Scrub::next_table(const Version& version) {
    if (part_ == Part::between_rounds) {
        const std::vector<uint64_t> numbers = numbers_of(version);
        if (numbers.empty()) {
            return nullptr;
        }
        part_ = Part::from_first;
        first_ = numbers[seed_ % numbers.size()];
        end_of_part_ = numbers.back() + 1;
        go_to(first_);
    }
    TablePtr table = first_within(version, table_, end_of_part_);
    if (table == nullptr && part_ == Part::from_first) {
        part_ = Part::up_to_first;
        end_of_part_ = first_;
        go_to(0);
        table = first_within(version, table_, end_of_part_);
    }
    if (table == nullptr) {
        part_ = Part::between_rounds;
        opened_.reset();
    } else if (table->number != table_) {
        go_to(table->number);
    }
    return table;
}

void Scrub::go_to(uint64_t table) {
    table_ = table;
    block_ = 0;
    opened_.reset();
}

}  // namespace starling::storage::lsm
