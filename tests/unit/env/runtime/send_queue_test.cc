#include "env/posix/send_queue.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "env/posix/frame.h"

namespace starling::env {
namespace {

std::shared_ptr<ByteBudget> budget_of(uint64_t bytes_max) {
    return std::make_shared<ByteBudget>(ByteBudget{.bytes_max = bytes_max});
}

// Takes everything out, as a connection would write it.
std::string drain(SendQueue& queue, size_t batch_bytes_max = 1u << 20) {
    std::string out;
    while (!queue.empty()) {
        for (const std::string_view bytes : queue.take_batch(batch_bytes_max)) {
            out.append(bytes);
        }
        queue.batch_written();
    }
    return out;
}

std::vector<size_t> payload_sizes(const std::string& stream) {
    FrameDecoder decoder(64u << 20);
    std::vector<size_t> sizes;
    std::string_view rest = stream;
    while (!rest.empty()) {
        const FrameDecoder::Room room = decoder.writable();
        const size_t count = std::min(room.size, rest.size());
        std::memcpy(room.data, rest.data(), count);
        rest.remove_prefix(count);
        decoder.commit(count);
        for (auto frame = decoder.next(); frame.ok() && *frame; frame = decoder.next()) {
            sizes.push_back((*frame)->payload.size());
        }
    }
    return sizes;
}

TEST(SendQueueTest, SmallFramesShareAChunkAndLargeOnesKeepTheirOwnInOrder) {
    const auto budget = budget_of(10u << 20);
    SendQueue queue(10u << 20, budget);
    const std::vector<size_t> sizes = {10, 20, 100'000, 0, 32'768, 32'767, 5};
    for (const size_t size : sizes) {
        ASSERT_TRUE(queue.append(std::string(size, 'x')));
    }
    EXPECT_LE(queue.take_batch(1u << 20).size(), 6u);
    queue.batch_written();
    EXPECT_TRUE(queue.empty());
    for (const size_t size : sizes) {
        ASSERT_TRUE(queue.append(std::string(size, 'x')));
    }
    EXPECT_EQ(payload_sizes(drain(queue)), sizes);
}

TEST(SendQueueTest, ManySmallFramesLeaveInOnePiece) {
    const auto budget = budget_of(10u << 20);
    SendQueue queue(10u << 20, budget);
    for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(queue.append(std::string(100, 'x')));
    }
    EXPECT_EQ(queue.take_batch(1u << 20).size(), 1u);
}

TEST(SendQueueTest, ABatchIsBoundedAndWhatIsQueuedMeanwhileComesInTheNext) {
    const auto budget = budget_of(100u << 20);
    SendQueue queue(100u << 20, budget);
    for (int i = 0; i < 40; ++i) {
        ASSERT_TRUE(queue.append(std::string(100'000, 'x')));
    }
    size_t bytes = 0;
    for (const std::string_view part : queue.take_batch(1u << 20)) {
        bytes += part.size();
    }
    EXPECT_LE(bytes, (1u << 20) + 100'000);
    ASSERT_TRUE(queue.append("late"));
    queue.batch_written();
    EXPECT_EQ(payload_sizes(drain(queue)).back(), 4u);
}

TEST(SendQueueTest, BytesCountUntilTheyAreWrittenAgainstTheQueueAndTheBudget) {
    const auto budget = budget_of(250);
    SendQueue first(200, budget);
    SendQueue second(200, budget);
    EXPECT_TRUE(first.append(std::string(100, 'x')));
    EXPECT_EQ(first.bytes(), 109u);
    EXPECT_FALSE(first.append(std::string(100, 'x'))) << "above the queue's limit";
    EXPECT_TRUE(second.append(std::string(100, 'x')));
    EXPECT_FALSE(second.append(std::string(40, 'x'))) << "above the budget";
    first.take_batch(1000);
    EXPECT_EQ(budget->bytes, 218u);
    first.batch_written();
    EXPECT_EQ(budget->bytes, 109u);
    EXPECT_TRUE(second.append(std::string(40, 'x')));
    EXPECT_EQ(second.clear(), 2u);
    EXPECT_EQ(budget->bytes, 0u);
    EXPECT_TRUE(second.empty());
}

TEST(SendQueueTest, DroppingCountsTheFramesOfTheBatchThatIsOut) {
    const auto budget = budget_of(10u << 20);
    SendQueue queue(10u << 20, budget);
    queue.append("a");
    queue.append(std::string(50'000, 'x'));
    queue.append_keepalive();
    queue.take_batch(1);
    queue.append("b");
    EXPECT_EQ(queue.clear(), 3u);
    EXPECT_EQ(budget->bytes, 0u);
}

}  // namespace
}  // namespace starling::env
