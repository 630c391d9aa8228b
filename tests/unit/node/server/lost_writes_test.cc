#include "node/server/lost_writes.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/server/shard_random.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using std::chrono::seconds;
using testing::group;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::key;
using ::testing::SizeIs;

struct LostWritesTest : ::testing::Test, LostWrites::Host {
    ~LostWritesTest() override { watch.stop(); }

    const Frontier* owned_frontier(GroupId group) override {
        return is_owner ? &rig.store.frontier(group) : nullptr;
    }
    bool can_be_spared() const override { return is_spare; }
    void want_new_life(const std::string& why) override { asked.push_back(why); }

    // A write of this node that is there, or is not any more.
    void write(bool is_there) {
        rig.store.use_sequence(group(1));
        const Dot dot = rig.next_dot(group(1), 1);
        if (!is_there) return;
        rig.store.update(
            group(1),
            key("k"),
            [dot](Record&, Frontier& frontier) {
                frontier.add(dot);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        rig.settle();
    }
    void pass(base::Duration span) { rig.scheduler.run_for(span); }

    bool is_owner = true;
    bool is_spare = true;
    std::vector<std::string> asked;
    testing::StoreRig rig;
    ShardRandom random{1};
    LostWrites watch{*this, rig.store, rig.loop, random, testing::dot(1, 1).actor};
};

TEST_F(LostWritesTest, AWriteThatIsLackingForAWhileEndsThisLife) {
    write(true);
    watch.start();
    pass(seconds(200));
    EXPECT_THAT(asked, IsEmpty());
    write(false);
    pass(LostWrites::patience - seconds(1));
    EXPECT_THAT(asked, IsEmpty()) << "another owner may bring it";
    pass(LostWrites::patience + seconds(10));
    ASSERT_THAT(asked, SizeIs(1));
    EXPECT_THAT(asked[0], HasSubstr("partition 1"));
    pass(2 * LostWrites::patience + seconds(10));
    EXPECT_THAT(asked, SizeIs(2)) << "this life goes on, and lacks it still";
}

TEST_F(LostWritesTest, ItWaitsUntilTheOthersCanSpareThisNode) {
    write(true);
    write(false);
    is_spare = false;
    watch.start();
    pass(seconds(1000));
    EXPECT_THAT(asked, IsEmpty());
    is_spare = true;
    pass(seconds(10));
    EXPECT_THAT(asked, SizeIs(1));
}

TEST_F(LostWritesTest, AWriteThatAnotherOwnerBringsIsNotLost) {
    write(true);
    rig.store.use_sequence(group(1));
    watch.start();
    pass(seconds(50));
    rig.store.unite_frontier(
        group(1), testing::frontier({testing::dot(1, 2)}), [](const absl::Status&) {});
    rig.workers.run_one();
    pass(seconds(200));
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(LostWritesTest, WhoIsNoOwnerOrIsRefilledLacksNothing) {
    write(true);
    write(false);
    is_owner = false;
    watch.start();
    pass(seconds(200));
    EXPECT_THAT(asked, IsEmpty());
    is_owner = true;
    pass(seconds(55));
    is_owner = false;
    pass(seconds(10));
    is_owner = true;
    pass(seconds(55));
    EXPECT_THAT(asked, IsEmpty()) << "it counts from when the copy counts again";
    pass(seconds(80));
    EXPECT_THAT(asked, SizeIs(1));
}

}  // namespace
}  // namespace starling::node
