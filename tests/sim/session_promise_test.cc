// What a session may and may not read after what it has seen, on hand-written histories.

#include "tests/sim/session_promise.h"

#include <gtest/gtest.h>

namespace starling::sim {
namespace {

using std::chrono::seconds;

class SessionPromiseTest : public ::testing::Test {
  protected:
    WriteId write(const std::string& value, Replaces replaces, const std::vector<WriteId>& seen) {
        clock_ += seconds(1);
        const WriteId id = history_.attempt({.request = {1, ++requests_, 0},
                                             .value = value,
                                             .is_delete = value.empty(),
                                             .replaces = replaces,
                                             .quorum = 2,
                                             .started = clock_},
                                            seen);
        clock_ += seconds(1);
        history_.acknowledge(id, clock_, 2);
        history_.settle(id, clock_);
        return id;
    }
    WriteId put(const std::string& value) { return write(value, Replaces::acknowledged, {}); }
    WriteId concurrent(const std::string& value) { return write(value, Replaces::seen, {}); }
    WriteId remove() { return write("", Replaces::acknowledged, {}); }
    bool is_older(const std::vector<WriteId>& seen, const std::vector<WriteId>& present) const {
        return !older_than_session(history_, seen, present).empty();
    }

    History history_;
    SimTime clock_{0};
    uint64_t requests_ = 0;
};

TEST_F(SessionPromiseTest, ItsOwnWriteMustBeThere) {
    const WriteId own = put("a");
    EXPECT_TRUE(is_older({own}, {}));
    EXPECT_FALSE(is_older({own}, {own}));
    EXPECT_FALSE(is_older({}, {}));
}

TEST_F(SessionPromiseTest, AWriteThatMayHaveReplacedItExplainsItsAbsence) {
    const WriteId own = put("a");
    const WriteId next = put("b");
    EXPECT_FALSE(is_older({own}, {next}));
    const WriteId sibling = concurrent("c");
    EXPECT_TRUE(is_older({next}, {sibling})) << "it has seen nothing";
    EXPECT_FALSE(is_older({next}, {next, sibling}));
}

TEST_F(SessionPromiseTest, WhatItsOwnWriteReplacedDoesNotReturn) {
    const WriteId old = put("a");
    const WriteId own = put("b");
    EXPECT_TRUE(is_older({own}, {old}));
    EXPECT_TRUE(is_older({own}, {old, own}));
}

TEST_F(SessionPromiseTest, WhatItDeletedDoesNotReturn) {
    const WriteId old = put("a");
    const WriteId own = remove();
    EXPECT_TRUE(is_older({own}, {old}));
    EXPECT_TRUE(is_older({old, own}, {old}));
    EXPECT_FALSE(is_older({own}, {}));
}

TEST_F(SessionPromiseTest, RemembersTheLatestWritesOnceEach) {
    SessionSeen seen;
    for (uint32_t i = 1; i <= 40; ++i) {
        seen.add(WriteId(i));
        seen.add(WriteId(i));
    }
    EXPECT_EQ(seen.writes.size(), 16u);
    EXPECT_EQ(seen.writes.front(), WriteId(25));
    EXPECT_EQ(seen.writes.back(), WriteId(40));
}

}  // namespace
}  // namespace starling::sim
