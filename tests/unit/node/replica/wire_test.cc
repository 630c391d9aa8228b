#include "node/replica/wire.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

RC_GTEST_PROP(WireTest, ADotIsReadBackAsWritten, ()) {
    const Dot dot{.actor = {.node = base::NodeId(*rc::gen::arbitrary<uint64_t>()),
                            .start = *rc::gen::arbitrary<uint32_t>(),
                            .random = *rc::gen::arbitrary<uint64_t>()},
                  .sequence = *rc::gen::arbitrary<uint64_t>()};
    peer::ProtoDot message;
    wire::set_dot(message, dot);
    RC_ASSERT(wire::get_dot(message) == dot);
}

RC_GTEST_PROP(WireTest, ARequestIdIsReadBackAsWritten, ()) {
    const base::RequestId request{.created_ms = *rc::gen::arbitrary<uint64_t>(),
                                  .random_high = *rc::gen::arbitrary<uint64_t>(),
                                  .random_low = *rc::gen::arbitrary<uint64_t>()};
    peer::ProtoRequestId message;
    wire::set_request(message, request);
    RC_ASSERT(wire::get_request(message) == request);
}

RC_GTEST_PROP(WireTest, AFrontierIsReadBackAsWrittenAndNothingElseIsOne, ()) {
    Frontier frontier;
    for (const auto& [node, sequence] :
         *rc::gen::container<std::vector<std::pair<uint64_t, uint64_t>>>(
             rc::gen::pair(rc::gen::inRange<uint64_t>(1, 4), rc::gen::inRange<uint64_t>(1, 20)))) {
        frontier.add(testing::dot(node, sequence));
    }
    const std::string bytes = wire::encode(frontier);
    const auto decoded = wire::decode_frontier(bytes);
    RC_ASSERT(decoded.ok());
    RC_ASSERT(*decoded == frontier);
    RC_ASSERT(!wire::decode_frontier(bytes + "x").ok());
    if (!bytes.empty()) {
        RC_ASSERT(!wire::decode_frontier(bytes.substr(0, bytes.size() - 1)).ok());
    }
}

TEST(WireTest, ARefusalKeepsCodeReasonAndText) {
    const absl::Status status =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "no seat here");
    peer::Refusal message;
    wire::set_refusal(message, status);
    const absl::Status read = wire::get_refusal(message);
    EXPECT_EQ(read.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(read), base::reason::no_owner);
    EXPECT_EQ(read.message(), "no seat here");
}

TEST(WireTest, ARefusalIsNeverOkWhateverThePeerSends) {
    for (const int32_t code : {0, -1, 17, 1'000'000}) {
        peer::Refusal message;
        message.set_code(code);
        EXPECT_EQ(wire::get_refusal(message).code(), absl::StatusCode::kUnknown) << code;
    }
}

}  // namespace
}  // namespace starling::node
