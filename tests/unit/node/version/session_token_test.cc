#include "node/version/session_token.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;

constexpr base::NamespaceId name_space{7};

std::string reason_of(const absl::StatusOr<Context>& opened) {
    return opened.ok() ? "" : base::reason_of(opened.status());
}

struct SessionSealerTest : ::testing::Test {
    std::string mark(std::string_view key, const std::vector<Dot>& dots) const {
        return sealer.seal(name_space, key, context(dots));
    }
    const SessionSealer sealer{"secret"};
};

TEST_F(SessionSealerTest, OpensWhatAnyNodeOfTheClusterSealed) {
    const std::string token = mark("k", {dot(1, 3), dot(2, 900)});
    EXPECT_EQ(*SessionSealer("secret").open(name_space, "k", token),
              context({dot(1, 3), dot(2, 900)}));
}

TEST_F(SessionSealerTest, TokensAreJoinedByPuttingTheirBytesTogetherInAnyOrder) {
    const std::string mine = mark("k", {dot(1, 3)});
    const std::string later = mark("k", {dot(1, 7), dot(2, 1)});
    const std::string other = mark("other", {dot(5, 5)});
    for (const std::string& token : {mine + other + later, later + mine + other + mine}) {
        EXPECT_EQ(*sealer.open(name_space, "k", token), context({dot(1, 7), dot(2, 1)}));
        EXPECT_EQ(*sealer.open(name_space, "other", token), context({dot(5, 5)}));
    }
}

TEST_F(SessionSealerTest, AnEmptyTokenAndOneOfOtherKeysHaveSeenNothingOfThisKey) {
    EXPECT_EQ(*sealer.open(name_space, "k", ""), Context());
    EXPECT_EQ(*sealer.open(name_space, "k", mark("other", {dot(1, 3)})), Context());
    EXPECT_EQ(*sealer.open(base::NamespaceId(8), "k", mark("k", {dot(1, 3)})), Context());
    EXPECT_EQ(mark("k", {}), "");
}

TEST_F(SessionSealerTest, RefusesAMarkOfThisKeyThatWasChanged) {
    const std::string token = mark("k", {dot(1, 3), dot(2, 900)});
    // From the tag on: what comes before says whose mark it is, and how long.
    for (size_t bit = 9 * 8; bit < token.size() * 8; ++bit) {
        std::string flipped = token;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        const auto opened = sealer.open(name_space, "k", flipped);
        ASSERT_FALSE(opened.ok()) << "bit " << bit;
        EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
    }
    std::string forged = token;
    forged[9] ^= 1;
    EXPECT_EQ(reason_of(sealer.open(name_space, "k", forged)), base::reason::forged_session);
}

TEST_F(SessionSealerTest, RefusesWhatIsNoTokenOrTooLong) {
    const std::string token = mark("k", {dot(1, 3)});
    const std::string malformed(base::reason::malformed_session);
    for (size_t size = 1; size < token.size(); ++size) {
        EXPECT_EQ(reason_of(sealer.open(name_space, "k", token.substr(0, size))), malformed);
    }
    std::string later_format = token;
    later_format[0] = 2;
    EXPECT_EQ(reason_of(sealer.open(name_space, "k", later_format)), malformed);
    std::string many;
    while (many.size() <= session_token_bytes_max) {
        many += token;
    }
    EXPECT_EQ(reason_of(sealer.open(name_space, "k", many)), malformed);
}

RC_GTEST_PROP(SessionSealerProperty,
              NeverReadsSomethingSeenOutOfBytesNobodySealed,
              (std::string token)) {
    const auto opened = SessionSealer("secret").open(name_space, "k", token);
    if (opened.ok()) {
        RC_ASSERT(opened->empty());
    } else {
        RC_ASSERT(absl::IsInvalidArgument(opened.status()));
    }
}

}  // namespace
}  // namespace starling::node
