#include "storage/lsm/memtable_target.h"

#include "base/status_macros.h"

namespace starling::storage::lsm {

namespace {

struct Adder final : WriteBatch::Handler {
    Adder(Memtable& target, Sequence last) : memtable(target), sequence(last) {}
    void put(std::string_view key, std::string_view value, Expiry expiry) override {
        memtable.add_put(++sequence, key, value, expiry);
    }
    void remove(std::string_view key) override {
        memtable.add(++sequence, ChangeKind::remove, key, {});
    }
    void remove_range(std::string_view begin, std::string_view end) override {
        memtable.remove_range(++sequence, begin, end);
    }
    Memtable& memtable;
    Sequence sequence;
};

}  // namespace

absl::StatusOr<Sequence> MemtableTarget::add(const Record& record, uint64_t) {
    Adder adder(memtable_, record.sequence - 1);
    STARLING_RETURN_IF_ERROR(WriteBatch::replay(record.payload, adder));
    return adder.sequence;
}

}  // namespace starling::storage::lsm
