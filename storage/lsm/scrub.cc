#include "storage/lsm/scrub.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/damage.h"

namespace starling::storage::lsm {

namespace {

// The one with the lowest number that is not below `number`; null: none.
TablePtr first_from(const Version& version, uint64_t number) {
    TablePtr first;
    for (size_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            if (table->number >= number && (first == nullptr || table->number < first->number)) {
                first = table;
            }
        }
    }
    return first;
}

uint64_t highest_number(const Version& version) {
    uint64_t highest = 0;
    for (size_t level = 0; level < level_count; ++level) {
        for (const TablePtr& table : version.level(level)) {
            highest = std::max(highest, table->number);
        }
    }
    return highest;
}

// Which opening it reads.
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
    if (last_of_round_ == between_rounds) {
        last_of_round_ = highest_number(version);
        go_to(1);
    }
    DamageSearch search(files_, directory_, tables_, version, should_stop);
    ScrubStep step;
    do {
        const TablePtr table = first_from(version, table_);
        if (table == nullptr || table->number > last_of_round_) {
            last_of_round_ = between_rounds;
            opened_.reset();
            step.is_last = true;
            break;
        }
        if (table->number != table_) {
            go_to(table->number);
        }
        if (opened_ == nullptr) {
            // An error leads behind it.
            go_to(table->number + 1);
            STARLING_ASSIGN_OR_RETURN(auto opened, search.open(*table));
            if (opened != nullptr) {
                go_to(table->number);
                step.bytes += bytes_behind_blocks(*table, *opened);
                opened_ = std::move(opened);
            }
        } else if (block_ == opened_->block_count() || STARLING_PLANTED(scrub_reads_no_blocks)) {
            go_to(table->number + 1);
        } else {
            STARLING_ASSIGN_OR_RETURN(const uint64_t read,
                                      search.check_block(*table, *opened_, block_++));
            step.bytes += read;
        }
        if (!search.damage().empty()) {
            STARLING_MARK(scrub_met_damage);
            return search.damage().check_within({});
        }
    } while (step.bytes < bytes);
    return step;
}

void Scrub::go_to(uint64_t table) {
    table_ = table;
    block_ = 0;
    opened_.reset();
}

}  // namespace starling::storage::lsm
