#include "node/server/identity.h"

#include <gtest/gtest.h>

#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

Identity some_identity() {
    return {.node = base::NodeId(7),
            .cluster = {.id = base::ClusterId(9),
                        .name = "starling",
                        .partition_count = 256,
                        .seats = 3},
            .shard_count = 2,
            .shard = 1,
            .generation = 41};
}

TEST(IdentityTest, WhatIsEncodedIsDecoded) {
    const auto decoded = decode_identity(encode_identity(some_identity()));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, some_identity());
}

TEST(IdentityTest, WhatIsCutOffOrLengthenedIsDataLossAndAnotherFormatIsNamed) {
    const std::string whole = encode_identity(some_identity());
    for (size_t length = 0; length < whole.size(); ++length) {
        EXPECT_TRUE(absl::IsDataLoss(decode_identity(whole.substr(0, length)).status())) << length;
    }
    EXPECT_TRUE(absl::IsDataLoss(decode_identity(whole + '\0').status()));
    std::string other_format = whole;
    other_format[0] = 1;
    const absl::Status refused = decode_identity(other_format).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_EQ(refused.message(), "the node's data has shard format 1; this program knows format 5");
    Identity nobody = some_identity();
    nobody.node = base::NodeId();
    EXPECT_TRUE(absl::IsDataLoss(decode_identity(encode_identity(nobody)).status()));
}

TEST(IdentityTest, ALaterLifeHasALaterGenerationAndNoneFromBeforeTheClock) {
    constexpr uint64_t in_2024_ms = 1'704'067'200'000;
    constexpr uint32_t in_2024 = 126'230'400;
    EXPECT_EQ(next_generation(0, in_2024_ms), 1u) << "a new node";
    EXPECT_EQ(next_generation(3, in_2024_ms), in_2024);
    EXPECT_EQ(next_generation(3, in_2024_ms + 999), in_2024);
    EXPECT_EQ(next_generation(3, in_2024_ms + 1000), in_2024 + 1);
    EXPECT_EQ(next_generation(in_2024, in_2024_ms), in_2024 + 1) << "twice in a second";
    EXPECT_EQ(next_generation(in_2024 + 7200, in_2024_ms), in_2024 + 7201) << "it was ahead";
    EXPECT_EQ(next_generation(3, 0), 4u) << "a clock that was never set";
    EXPECT_EQ(next_generation(3, UINT64_MAX), uint32_t{1} << 31);
    EXPECT_EQ(next_generation(uint32_t{1} << 31, UINT64_MAX), (uint32_t{1} << 31) + 1);
}

TEST(IdentityTest, AnUnusedEngineHasNoneAndAStoredOneOutlivesAPowerLoss) {
    env::SimFileSystem files;
    ASSERT_TRUE(files.create_directory("/data").ok());
    ASSERT_TRUE(files.sync_directory("/").ok());
    {
        OpenShard engine(files, 0);
        const auto none = load_identity(*engine);
        ASSERT_TRUE(none.ok()) << none.status();
        EXPECT_EQ(*none, std::nullopt);
        ASSERT_TRUE(store_identity(*engine, some_identity()).ok());
        const auto survivor = files.clone_after_crash();
        EXPECT_EQ(stored_identity(*survivor, 0), some_identity());
    }
    EXPECT_EQ(stored_identity(files, 0), some_identity());
}

}  // namespace
}  // namespace starling::node
