#include <fmt/format.h>
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>

#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

namespace {

void check(const leveldb::Status& status, std::string_view what) {
    if (!status.ok()) {
        fail(fmt::format("leveldb: {}: {}", what, status.ToString()));
    }
}

leveldb::Slice slice(std::string_view bytes) {
    return {bytes.data(), bytes.size()};
}
std::string_view view(const leveldb::Slice& bytes) {
    return {bytes.data(), bytes.size()};
}

class LevelDbEngine final : public EngineUnderTest {
  public:
    explicit LevelDbEngine(const EngineSettings& settings)
        : cache_(leveldb::NewLRUCache(settings.cache_bytes)),
          filter_(leveldb::NewBloomFilterPolicy(static_cast<int>(settings.filter_bits_per_key))) {
        leveldb::Options options;
        options.create_if_missing = true;
        // There are two: one that is written to and one that is flushed.
        options.write_buffer_size = settings.write_buffer_bytes / 2;
        options.block_cache = cache_.get();
        options.filter_policy = filter_.get();
        options.block_size = settings.block_bytes;
        options.compression =
            settings.compression == "none" ? leveldb::kNoCompression : leveldb::kSnappyCompression;
        leveldb::DB* opened = nullptr;
        check(leveldb::DB::Open(options, settings.directory, &opened), "open");
        engine_.reset(opened);
    }

    void put(std::string_view key, std::string_view value, Durability durability) override {
        leveldb::WriteOptions options;
        options.sync = durability == Durability::synced;
        check(engine_->Put(options, slice(key), slice(value)), "put");
    }

    bool get(std::string_view key, std::string& value) override {
        const leveldb::Status status = engine_->Get({}, slice(key), &value);
        if (status.IsNotFound()) {
            return false;
        }
        check(status, "get");
        return true;
    }

    uint64_t scan(std::string_view from, uint64_t limit, Direction direction) override {
        const std::unique_ptr<leveldb::Iterator> iterator(engine_->NewIterator({}));
        uint64_t count = 0;
        if (direction == Direction::forward) {
            for (iterator->Seek(slice(from)); count < limit && iterator->Valid();
                 iterator->Next()) {
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
    const std::unique_ptr<leveldb::Cache> cache_;
    const std::unique_ptr<const leveldb::FilterPolicy> filter_;
    std::unique_ptr<leveldb::DB> engine_;
};

}  // namespace

std::unique_ptr<EngineUnderTest> open_leveldb(const EngineSettings& settings) {
    return std::make_unique<LevelDbEngine>(settings);
}

}  // namespace starling::bench
