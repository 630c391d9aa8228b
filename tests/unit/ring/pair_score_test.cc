#include "ring/pair_score.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/hash.h"

namespace starling::ring {
namespace {

base::PartitionId partition(int number) {
    return base::PartitionId(static_cast<uint16_t>(number));
}

TEST(PairScoreTest, IsTheLogarithmOfTheHashOverTheWeight) {
    for (uint64_t node = 1; node < 2000; ++node) {
        const uint64_t pair[2] = {node, 7};
        const uint64_t hash =
            base::xxh3_64({reinterpret_cast<const char*>(pair), sizeof(pair)}) | 1;
        const double exact = -std::log2(std::ldexp(static_cast<double>(hash), -64));
        const double score = static_cast<double>(pair_score(base::NodeId(node), 1, partition(7)));
        EXPECT_NEAR(std::ldexp(score, 7 - pair_score_bits), exact, 1e-5);
    }
}

TEST(PairScoreTest, AMemberIsTheBestInProportionToItsWeight) {
    constexpr int partitions = 30'000;
    const std::vector<std::pair<base::NodeId, uint32_t>> members = {
        {base::NodeId(11), 100}, {base::NodeId(22), 200}, {base::NodeId(33), 700}};
    std::vector<int> best(members.size(), 0);
    for (int p = 0; p < partitions; ++p) {
        size_t least = 0;
        const auto score = [&](size_t i) {
            return pair_score(members[i].first, members[i].second, partition(p));
        };
        for (size_t i = 1; i < members.size(); ++i) {
            if (score(i) < score(least)) least = i;
        }
        ++best[least];
    }
    EXPECT_NEAR(best[0], partitions * 0.1, 300);
    EXPECT_NEAR(best[1], partitions * 0.2, 400);
    EXPECT_NEAR(best[2], partitions * 0.7, 500);
}

TEST(PairScoreTest, StaysInItsBitsAndOrdersMembersOfGreatWeight) {
    for (uint64_t node = 1; node < 1000; ++node) {
        EXPECT_LT(pair_score(base::NodeId(node), 1, partition(1)), uint64_t{1} << pair_score_bits);
    }
    const uint64_t a = pair_score(base::NodeId(1), 1'000'000, partition(1));
    const uint64_t b = pair_score(base::NodeId(2), 1'000'000, partition(1));
    EXPECT_NE(a, b);
}

}  // namespace
}  // namespace starling::ring
