// Batches of changes as a log holds them. Oracles: a batch that replays whole, made again from its
// changes, has the same bytes; of a damaged one only changes before the damage are seen; two
// batches, joined, replay as one after the other.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "storage/engine.h"

namespace {

namespace base = starling::base;
using starling::storage::Expiry;
using starling::storage::never;
using starling::storage::WriteBatch;

class Rebuild final : public WriteBatch::Handler {
  public:
    void put(std::string_view key, std::string_view value, Expiry expiry) override {
        if (expiry == never) {
            batch_.put(key, value);
        } else {
            batch_.put(key,
                       value,
                       base::WallTime(std::chrono::milliseconds(static_cast<int64_t>(expiry))));
        }
    }
    void remove_range(std::string_view begin, std::string_view end) override {
        batch_.remove_range(begin, end);
    }
    void remove(std::string_view key) override { batch_.remove(key); }

    const WriteBatch& batch() const { return batch_; }

  private:
    WriteBatch batch_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    Rebuild rebuilt;
    const bool whole = WriteBatch::replay(input, rebuilt).ok();
    const std::string_view bytes = rebuilt.batch().representation();
    STARLING_CHECK(input.starts_with(bytes));
    STARLING_CHECK(whole == (bytes.size() == input.size()));

    WriteBatch twice = rebuilt.batch();
    twice.append(rebuilt.batch());
    Rebuild again;
    STARLING_CHECK(WriteBatch::replay(twice.representation(), again).ok());
    STARLING_CHECK(again.batch().count() == 2 * rebuilt.batch().count());
    STARLING_CHECK(again.batch().representation() == twice.representation());
    return 0;
}
