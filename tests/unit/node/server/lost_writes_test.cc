#include "node/server/lost_writes.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
    std::vector<std::string> asked;
    testing::StoreRig rig;
    LostWrites watch{*this, rig.store, rig.loop, testing::dot(1, 1).actor};
};

TEST_F(LostWritesTest, AWriteThatIsLackingForAWhileEndsThisLife) {
    write(true);
    watch.start();
    pass(seconds(200));
    EXPECT_THAT(asked, IsEmpty());
    write(false);
    pass(LostWrites::patience - seconds(1));
    EXPECT_THAT(asked, IsEmpty()) << "another owner may bring it";
    pass(seconds(15));
    ASSERT_THAT(asked, SizeIs(1));
    EXPECT_THAT(asked[0], HasSubstr("partition 1"));
    pass(seconds(200));
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
    pass(seconds(30));
    is_owner = false;
    pass(seconds(10));
    is_owner = true;
    pass(seconds(50));
    EXPECT_THAT(asked, IsEmpty()) << "it counts from when the copy counts again";
    pass(seconds(30));
    EXPECT_THAT(asked, SizeIs(1));
}

}  // namespace
}  // namespace starling::node
