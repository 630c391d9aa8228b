#include "node/version/context_token.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;
using testing::request;

constexpr base::NamespaceId name_space{7};

Superseded some_reading() {
    return {.context = context({dot(1, 3), dot(2, 900)}), .requests = {request(4), request(9)}};
}

std::string reason_of(const absl::StatusOr<Superseded>& opened) {
    return opened.ok() ? "" : base::reason_of(opened.status());
}

TEST(ContextSealerTest, OpensWhatItSealed) {
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "key", some_reading());
    const auto opened = sealer.open(name_space, "key", token);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(*opened, some_reading());
}

TEST(ContextSealerTest, OpensWhatAnotherNodeOfTheClusterSealed) {
    const std::string token = ContextSealer("secret").seal(name_space, "key", some_reading());
    EXPECT_EQ(*ContextSealer("secret").open(name_space, "key", token), some_reading());
}

TEST(ContextSealerTest, AnEmptyTokenHasSeenNothing) {
    EXPECT_EQ(*ContextSealer("secret").open(name_space, "key", ""), Superseded{});
}

TEST(ContextSealerTest, RefusesATokenOfAnotherKeyNamespaceOrCluster) {
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "key", some_reading());
    const std::string forged(base::reason::forged_context);
    EXPECT_EQ(reason_of(sealer.open(name_space, "kez", token)), forged);
    EXPECT_EQ(reason_of(sealer.open(base::NamespaceId(8), "key", token)), forged);
    EXPECT_EQ(reason_of(ContextSealer("Secret").open(name_space, "key", token)), forged);
}

TEST(ContextSealerTest, AKeyCannotLendItsLastBytesToThePayload) {
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "keyX", {});
    std::string shifted = token;
    shifted.insert(1 + 16, "X");
    EXPECT_FALSE(sealer.open(name_space, "key", shifted).ok());
}

TEST(ContextSealerTest, RefusesEachFlippedBit) {
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "key", some_reading());
    for (size_t bit = 0; bit < token.size() * 8; ++bit) {
        std::string flipped = token;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        const auto opened = sealer.open(name_space, "key", flipped);
        ASSERT_FALSE(opened.ok()) << "bit " << bit;
        EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
        EXPECT_EQ(reason_of(opened),
                  bit < 8 ? base::reason::malformed_context : base::reason::forged_context);
    }
}

TEST(ContextSealerTest, RefusesTokensTooShortOrTooLong) {
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "key", {});
    const std::string malformed(base::reason::malformed_context);
    for (size_t size = 1; size < token.size(); ++size) {
        EXPECT_EQ(reason_of(sealer.open(name_space, "key", token.substr(0, size))), malformed);
    }
    const std::string huge(context_token_bytes_max + 1, '\1');
    EXPECT_EQ(reason_of(sealer.open(name_space, "key", huge)), malformed);
}

RC_GTEST_PROP(ContextSealerTest, RefusesWhateverItDidNotIssue, (std::string token)) {
    RC_PRE(!token.empty());
    RC_ASSERT(!ContextSealer("secret").open(name_space, "key", token).ok());
}

TEST(ContextSealerTest, ATokenOfAMuchRewrittenKeyStaysWithinItsLimit) {
    Record record;
    record.context = context({dot(1, 1)});
    for (uint64_t i = 0; i < 100'000; ++i)
        record.gone.push_back(request(i));
    const Superseded seen = Superseded::by_reading(record);
    EXPECT_EQ(seen.requests.size(), superseded_requests_told_max);
    EXPECT_EQ(seen.requests.back(), request(99'999));
    const ContextSealer sealer("secret");
    const std::string token = sealer.seal(name_space, "key", seen);
    EXPECT_LE(token.size(), context_token_bytes_max / 4);
    EXPECT_EQ(*sealer.open(name_space, "key", token), seen);
}

}  // namespace
}  // namespace starling::node
