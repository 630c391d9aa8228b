// What an engine takes at its limits, and one byte beyond. The large values are pages of nothing,
// which take no memory until they are copied into a batch.

#include "storage/limits.h"

#include <string_view>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/error.h"

namespace starling::storage {
namespace {

class LimitsTest : public testing::Test {
  protected:
    LimitsTest()
        : pages_(::mmap(nullptr,
                        engine_value_bytes_max + 1,
                        PROT_READ,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1,
                        0)) {
        EXPECT_NE(pages_, MAP_FAILED);
    }
    ~LimitsTest() override { ::munmap(pages_, engine_value_bytes_max + 1); }

    std::string_view bytes(size_t size) const { return {static_cast<const char*>(pages_), size}; }

    static void expect_refused(const WriteBatch& batch, std::string_view reason) {
        const absl::Status status = check_batch(batch);
        EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
        EXPECT_EQ(base::reason_of(status), reason);
    }

  private:
    void* const pages_;
};

TEST_F(LimitsTest, AKeyOfOneMebibyteIsTakenAndALargerOneIsNot) {
    WriteBatch batch;
    batch.put(bytes(engine_key_bytes_max), "v");
    batch.remove(bytes(engine_key_bytes_max));
    batch.remove_range("", bytes(engine_key_bytes_max));
    EXPECT_TRUE(check_batch(batch).ok());
    const size_t too_large = engine_key_bytes_max + 1;
    batch.clear();
    batch.put(bytes(too_large), "v");
    expect_refused(batch, base::reason::key_too_large);
    batch.clear();
    batch.remove(bytes(too_large));
    expect_refused(batch, base::reason::key_too_large);
    batch.clear();
    batch.remove_range(bytes(too_large), "");
    expect_refused(batch, base::reason::key_too_large);
    batch.clear();
    batch.remove_range("", bytes(too_large));
    expect_refused(batch, base::reason::key_too_large);
}

TEST_F(LimitsTest, AValueOfMoreThan256MebibytesIsNotTaken) {
    WriteBatch batch;
    batch.put("k", bytes(engine_value_bytes_max + 1));
    expect_refused(batch, base::reason::value_too_large);
}

TEST_F(LimitsTest, AValueOf256MebibytesAndABatchOf512AreTakenAndALargerBatchIsNot) {
    WriteBatch batch;
    batch.put("k", bytes(engine_value_bytes_max));
    EXPECT_TRUE(check_batch(batch).ok());
    // Kind, key and the length of a value that is longer than 2 MiB.
    constexpr size_t overhead = 1 + 2 + 4;
    const size_t rest = engine_batch_bytes_max - batch.byte_size();
    batch.put("b", bytes(rest - overhead));
    ASSERT_EQ(batch.byte_size(), engine_batch_bytes_max);
    EXPECT_TRUE(check_batch(batch).ok());
    batch.remove("c");
    expect_refused(batch, base::reason::request_too_large);
}

TEST_F(LimitsTest, ABatchOf256RangesIsTakenAndOneMoreIsNot) {
    WriteBatch batch;
    for (size_t i = 0; i < engine_range_removals_max; ++i) {
        batch.remove_range("a", "b");
    }
    EXPECT_TRUE(check_batch(batch).ok());
    batch.remove_range("a", "b");
    expect_refused(batch, base::reason::request_too_large);
}

}  // namespace
}  // namespace starling::storage
