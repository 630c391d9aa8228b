#pragma once

// Goes through all tables, and the values that they point to, again and again and in pieces, so
// that damage is met while others still have what it takes. Table by table in the order of their
// numbers: what a merge writes meanwhile has a higher number and belongs to the next round.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/engine.h"
#include "storage/lsm/table_cache.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

class Scrub {
  public:
    // All borrowed.
    Scrub(env::FileSystem& files, const std::string& directory, TableCache& tables)
        : files_(files), directory_(directory), tables_(tables) {}

    // As Engine::scrub(). `version`: the present one. cancelled: `should_stop` said so.
    absl::StatusOr<ScrubStep> read_on(const Version& version,
                                      uint64_t bytes,
                                      absl::FunctionRef<bool()> should_stop);

  private:
    // Numbers of files begin with 1.
    static constexpr uint64_t between_rounds = 0;

    void go_to(uint64_t table);

    env::FileSystem& files_;
    const std::string& directory_;
    TableCache& tables_;

    // The highest number of a table that there was when the round began.
    uint64_t last_of_round_ = between_rounds;
    // All tables with lower numbers were read, and of this one all blocks before `block_`.
    uint64_t table_ = 0;
    size_t block_ = 0;
    // That table; null: it is not open.
    std::shared_ptr<const Table> opened_;
};

}  // namespace starling::storage::lsm
