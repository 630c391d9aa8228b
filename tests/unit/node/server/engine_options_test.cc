// What the engine of a shard gets of the node's options.

#include "node/server/engine_options.h"

#include <gtest/gtest.h>

#include "node/replica/storage_keys.h"
#include "node/server/memory_division.h"

namespace starling::node {
namespace {

constexpr uint64_t mib = 1u << 20;

TEST(EngineOptionsTest, DefaultsAreTheEnginesOwnButForMemory) {
    NodeOptions options;
    options.memory_bytes_max = 512 * mib;
    const storage::EngineOptions made = engine_options(options, 4);
    const storage::EngineOptions own;
    EXPECT_EQ(made.engine, own.engine);
    EXPECT_EQ(made.compression, own.compression);
    EXPECT_EQ(made.deepest_compression, std::nullopt);
    EXPECT_EQ(made.compaction_bytes_per_second, 0u);
    EXPECT_EQ(made.disk_reserve_bytes, own.disk_reserve_bytes);
    EXPECT_EQ(made.direct_reads, own.direct_reads);
    EXPECT_EQ(made.memory_bytes_max, 32 * mib);
    EXPECT_EQ(made.block_cache_bytes, 32 * mib);
}

TEST(EngineOptionsTest, EachOptionOfTheNodeReachesTheEngine) {
    NodeOptions options;
    options.engine = "bitcask";
    options.compression = storage::Compression::none;
    options.deepest_compression = storage::Compression::zstd;
    options.compaction_bytes_per_second = 40 * mib;
    options.disk_reserve_bytes = 3 * mib;
    options.direct_reads = true;
    options.memory_bytes_max = 512 * mib;
    options.block_cache_bytes = 64 * mib;
    const storage::EngineOptions made = engine_options(options, 4);
    EXPECT_EQ(made.engine, "bitcask");
    EXPECT_EQ(made.compression, storage::Compression::none);
    EXPECT_EQ(made.deepest_compression, storage::Compression::zstd);
    EXPECT_EQ(made.compaction_bytes_per_second, 10 * mib) << "one limit for all shards";
    EXPECT_EQ(made.disk_reserve_bytes, 3 * mib) << "one disk for all shards";
    EXPECT_TRUE(made.direct_reads);
    EXPECT_EQ(made.block_cache_bytes, 16 * mib);
    EXPECT_EQ(made.memory_bytes_max, 48 * mib) << "memtables have the rest of one half";
}

// So a flush makes two tables.
TEST(EngineOptionsTest, FactsLieInTablesOfTheirOwn) {
    const storage::EngineOptions made = engine_options(NodeOptions(), 1);
    const storage::EngineOptions own;
    EXPECT_LT(storage_keys::records_begin(), made.table_border);
    EXPECT_GE(storage_keys::meta("identity"), made.table_border);
    EXPECT_EQ(made.level_0_tables_compact, 2 * own.level_0_tables_compact);
    EXPECT_EQ(made.level_0_tables_stall, 2 * own.level_0_tables_stall);
}

TEST(EngineOptionsTest, ASmallLimitDividedIsNotNoLimit) {
    NodeOptions options;
    options.compaction_bytes_per_second = 3;
    EXPECT_EQ(engine_options(options, 4).compaction_bytes_per_second, 1u);
}

TEST(EngineOptionsTest, TheLargestBlockCacheLeavesMemtablesASixteenth) {
    NodeOptions options;
    options.memory_bytes_max = 512 * mib;
    options.block_cache_bytes = MemoryDivision::block_cache_most(options.memory_bytes_max);
    EXPECT_EQ(*options.block_cache_bytes, 224 * mib);
    EXPECT_EQ(MemoryDivision(options).memtables, 32 * mib);
    EXPECT_EQ(MemoryDivision(options).block_cache, 224 * mib);
}

}  // namespace
}  // namespace starling::node
