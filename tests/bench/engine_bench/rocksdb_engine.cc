#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

namespace {

void check(const rocksdb::Status& status, std::string_view what) {
    if (!status.ok()) {
        fail(fmt::format("rocksdb: {}: {}", what, status.ToString()));
    }
}

std::string_view view(const rocksdb::Slice& bytes) {
    return {bytes.data(), bytes.size()};
}

// As ours: as many memtables, and one flush and one compaction beside the load.
constexpr int memtable_count = 4;
constexpr int background_jobs = 2;

rocksdb::Options options_of(const EngineSettings& settings) {
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(settings.cache_bytes);
    table.block_size = settings.block_bytes;
    table.filter_policy.reset(
        rocksdb::NewBloomFilterPolicy(static_cast<double>(settings.filter_bits_per_key)));
    rocksdb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = settings.write_buffer_bytes / memtable_count;
    options.max_write_buffer_number = memtable_count;
    options.max_background_jobs = background_jobs;
    options.use_direct_reads = settings.direct_reads;
    options.compression =
        settings.compression == "none" ? rocksdb::kNoCompression : rocksdb::kLZ4Compression;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

class RocksDbEngine final : public EngineUnderTest {
  public:
    explicit RocksDbEngine(const EngineSettings& settings) {
        rocksdb::DB* opened = nullptr;
        check(rocksdb::DB::Open(options_of(settings), settings.directory, &opened), "open");
        engine_.reset(opened);
    }

    void put(std::string_view key, std::string_view value, Durability durability) override {
        rocksdb::WriteOptions options;
        options.sync = durability == Durability::synced;
        check(engine_->Put(options, key, value), "put");
    }

    bool get(std::string_view key, std::string& value) override {
        const rocksdb::Status status = engine_->Get({}, key, &value);
        if (status.IsNotFound()) {
            return false;
        }
        check(status, "get");
        return true;
    }

    uint64_t scan(std::string_view from, uint64_t limit, Direction direction) override {
        const std::unique_ptr<rocksdb::Iterator> iterator(engine_->NewIterator({}));
        uint64_t count = 0;
        if (direction == Direction::forward) {
            for (iterator->Seek(from); count < limit && iterator->Valid(); iterator->Next()) {
                touch(view(iterator->key()), view(iterator->value()));
                ++count;
            }
        } else {
            for (iterator->SeekToLast(); count < limit && iterator->Valid(); iterator->Prev()) {
                touch(view(iterator->key()), view(iterator->value()));
                ++count;
            }
        }
        check(iterator->status(), "scan");
        return count;
    }

  private:
    std::unique_ptr<rocksdb::DB> engine_;
};

}  // namespace

std::unique_ptr<EngineUnderTest> open_rocksdb(const EngineSettings& settings) {
    return std::make_unique<RocksDbEngine>(settings);
}

}  // namespace starling::bench
