#include "node/replica/seen_claim.h"

#include <gtest/gtest.h>

#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;
using testing::group;
using testing::key;

struct SeenClaimTest : ::testing::Test {
    testing::StoreRig rig;
};

TEST_F(SeenClaimTest, HoldsWhereTheFrontierHasEachDot) {
    const Dot first = rig.write(group(1), key("k"), 5, "old");
    const Dot second = rig.write(group(1), key("k"), 6, "new");
    rig.settle();
    EXPECT_TRUE(SeenClaim(rig.store, group(1), context({first, second})).holds(rig.store));
    EXPECT_FALSE(SeenClaim(rig.store, group(1), context({first, dot(6, 2)})).holds(rig.store));
    EXPECT_FALSE(SeenClaim(rig.store, group(1), context({dot(7, 1)})).holds(rig.store));
}

TEST_F(SeenClaimTest, ClaimsNothingForAnUnknownGroupNorMakesOne) {
    EXPECT_FALSE(SeenClaim(rig.store, group(2), context({dot(5, 1)})).holds(rig.store));
    EXPECT_TRUE(rig.store.groups().empty());
}

TEST_F(SeenClaimTest, DoesNotClaimWhatIsReadAfterTheGroupWasDropped) {
    const Dot first = rig.write(group(1), key("k"), 5, "old");
    rig.settle();
    const SeenClaim claim(rig.store, group(1), context({first}));
    rig.store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_FALSE(claim.holds(rig.store));
}

// The write comes between the claim and the read's answer: the claim is of what was read, or older.
TEST_F(SeenClaimTest, DoesNotClaimWhatCameAfterIt) {
    const Dot first = rig.write(group(1), key("k"), 5, "old");
    rig.settle();
    const Dot second = dot(5, first.sequence + 1);
    const SeenClaim claim(rig.store, group(1), context({second}));
    EXPECT_EQ(rig.write(group(1), key("k"), 5, "new"), second);
    rig.settle();
    EXPECT_FALSE(claim.holds(rig.store));
}

}  // namespace
}  // namespace starling::node
