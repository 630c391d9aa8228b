#pragma once

// Goes through all tables, and the values that they point to, again and again and in pieces, so
// that damage is met while others still have what it takes. A round is table by table in the order
// of their numbers, from any of them to the highest that there is when it begins, and then from the
// lowest on. What is written meanwhile belongs to it or to the next.

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
    // Borrows all but the number. `seed` says where rounds begin: another one in each life of the
    // engine, or one that is opened again and again would never come to the last tables.
    Scrub(env::FileSystem& files, const std::string& directory, TableCache& tables, uint64_t seed)
        : files_(files), directory_(directory), tables_(tables), seed_(seed) {}

    // As Engine::scrub(). `version`: the present one. cancelled: `should_stop` said so.
    absl::StatusOr<ScrubStep> read_on(const Version& version,
                                      uint64_t bytes,
                                      absl::FunctionRef<bool()> should_stop);
    // Closes the file that is open between two calls.
    void close_file() { opened_.reset(); }

  private:
    enum class Part { between_rounds, from_first, up_to_first };

    // Of the round; null: it is complete.
    TablePtr next_table(const Version& version);
    void go_to(uint64_t table);

    env::FileSystem& files_;
    const std::string& directory_;
    TableCache& tables_;
    const uint64_t seed_;

    Part part_ = Part::between_rounds;
    // Where the round began.
    uint64_t first_ = 0;
    // No table with a number that is not below this belongs to the part.
    uint64_t end_of_part_ = 0;
    // Of this part all tables with lower numbers were read, and of this one all blocks before
    // `block_`.
    uint64_t table_ = 0;
    size_t block_ = 0;
    // That table; null: it is not open.
    std::shared_ptr<const Table> opened_;
};

}  // namespace starling::storage::lsm
