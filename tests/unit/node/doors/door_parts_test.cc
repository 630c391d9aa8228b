// The parts of the doors that need neither gRPC nor HTTP.

#include <thread>

#include "gmock/gmock.h"
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "node/doors/address.h"
#include "node/doors/admission.h"
#include "node/doors/connection_table.h"
#include "node/doors/door_metrics.h"
#include "node/doors/error_detail.h"
#include "node/doors/listener.h"

namespace starling::node {
namespace {

TEST(AddressTest, LiteralsOfBothFamiliesParseAndPrintAlike) {
    for (const char* text : {"127.0.0.1:0", "10.1.2.3:65535", "[::1]:4000"}) {
        const auto endpoint = parse_address(text);
        ASSERT_TRUE(endpoint.ok()) << text;
        EXPECT_EQ(to_string(*endpoint), text);
    }
}

TEST(AddressTest, AnythingElseIsRefused) {
    for (const char* text : {"",
                             ":",
                             "localhost:1",
                             "1.2.3.4",
                             "1.2.3.4:",
                             "1.2.3.4:65536",
                             "1.2.3.4:-1",
                             "1.2.3.4:1x",
                             "::1:4000",
                             "[::1]",
                             "[1.2.3.4]:1",
                             "1.2.3:4",
                             " 1.2.3.4:5"}) {
        const auto endpoint = parse_address(text);
        EXPECT_EQ(base::reason_of(endpoint.status()), "invalid_request") << text;
    }
}

TEST(AdmissionTest, CountAndBytesAreBoundedAndGivenBack) {
    Admission admission({.requests_max = 2, .bytes_max = 100});
    EXPECT_TRUE(admission.admit(60).ok());
    EXPECT_EQ(base::reason_of(admission.admit(60)), "overloaded");
    EXPECT_TRUE(admission.admit(40).ok());
    EXPECT_EQ(base::reason_of(admission.admit(0)), "overloaded");
    EXPECT_EQ(admission.refused(), 2u);
    admission.release(60);
    EXPECT_TRUE(admission.admit(60).ok());
    admission.release(60);
    admission.release(40);
    EXPECT_EQ(admission.requests(), 0u);
    EXPECT_EQ(admission.bytes(), 0u);
}

TEST(AdmissionTest, ARequestThatIsAloneIsAdmittedWhateverItsSize) {
    Admission admission({.requests_max = 2, .bytes_max = 100});
    EXPECT_TRUE(admission.admit(1000).ok());
    EXPECT_FALSE(admission.admit(1).ok());
    admission.release(1000);
    EXPECT_TRUE(admission.admit(1).ok());
}

TEST(ErrorDetailTest, OnlyAWriteThatMayHaveBegunLeavesItsOutcomeUnknown) {
    const auto is_unknown = [](absl::StatusCode code, std::string_view reason, bool is_write) {
        return to_detail(base::make_error(code, reason, "m"), is_write).outcome_unknown;
    };
    EXPECT_TRUE(is_unknown(absl::StatusCode::kUnavailable, "quorum_not_reached", true));
    EXPECT_FALSE(is_unknown(absl::StatusCode::kUnavailable, "quorum_not_reached", false));
    EXPECT_FALSE(is_unknown(absl::StatusCode::kUnavailable, "no_owner", true));
    EXPECT_TRUE(to_detail(absl::InternalError("bug"), true).outcome_unknown);
    EXPECT_FALSE(to_detail(absl::InternalError("bug"), false).outcome_unknown);
    EXPECT_FALSE(to_detail(absl::InvalidArgumentError("bad"), true).outcome_unknown);
}

TEST(DoorMetricsTest, ADurationFallsIntoTheBucketWhoseBoundItReaches) {
    DoorMetrics metrics;
    const auto in_bucket = [&metrics](size_t bucket) {
        return metrics.of(Method::get).by_duration[bucket].load();
    };
    metrics.record(Method::get, absl::StatusCode::kOk, std::chrono::microseconds(50));
    EXPECT_EQ(in_bucket(0), 1u);
    metrics.record(Method::get, absl::StatusCode::kOk, std::chrono::nanoseconds(50'001));
    EXPECT_EQ(in_bucket(1), 1u);
    metrics.record(Method::get, absl::StatusCode::kOk, std::chrono::microseconds(200));
    EXPECT_EQ(in_bucket(2), 1u);
    metrics.record(Method::get, absl::StatusCode::kOk, std::chrono::hours(5));
    EXPECT_EQ(in_bucket(DoorMetrics::bucket_count - 1), 1u);
    metrics.record(Method::get, absl::StatusCode::kOk, std::chrono::seconds(-1));
    EXPECT_EQ(in_bucket(0), 2u);
    EXPECT_DOUBLE_EQ(DoorMetrics::bucket_seconds_max(2), 0.0002);
}

TEST(ConnectionTableTest, AClosedDescriptorIsNoticedEvenWhenItsNumberIsUsedAgain) {
    ConnectionTable table;
    const int first = ::socket(AF_INET, SOCK_STREAM, 0);
    const int second = ::socket(AF_INET, SOCK_STREAM, 0);
    table.add(first);
    table.add(second);
    EXPECT_EQ(table.recount(), 2u);
    ::close(first);
    const int again = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(again, first);
    EXPECT_EQ(table.recount(), 1u);
    ::close(second);
    EXPECT_EQ(table.recount(), 0u);
    ::close(again);
}

TEST(ListenerTest, AnAddressInUseIsAnErrorThatNamesIt) {
    DoorLoop loop;
    const auto first = Listener::bind(loop, "127.0.0.1:0", 1);
    ASSERT_TRUE(first.ok());
    EXPECT_THAT((*first)->address(), testing::Not(testing::EndsWith(":0")));
    const auto second = Listener::bind(loop, (*first)->address(), 1);
    EXPECT_TRUE(absl::IsUnavailable(second.status()));
    EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr((*first)->address()));
}

TEST(ListenerTest, ConnectionsOverTheCapAreClosedUntilOthersEnd) {
    DoorLoop loop;
    auto listener = *Listener::bind(loop, "127.0.0.1:0", 2);
    std::vector<int> taken;
    listener->start([&taken](int fd) { taken.push_back(fd); });
    const auto endpoint = *parse_address(listener->address());
    boost::asio::io_context context;
    std::vector<boost::asio::ip::tcp::socket> clients;
    const auto connect = [&] {
        clients.emplace_back(context);
        clients.back().connect(endpoint);
    };
    for (int i = 0; i < 3; ++i) {
        connect();
    }
    char byte = 0;
    boost::system::error_code error;
    clients[2].read_some(boost::asio::buffer(&byte, 1), error);
    EXPECT_TRUE(error) << "the third is closed";
    loop.run_and_wait([&] {
        EXPECT_EQ(taken.size(), 2u);
        ::close(taken[0]);
    });
    EXPECT_EQ(listener->counts().refused, 1u);
    connect();
    while (listener->counts().accepted < 3) {
        std::this_thread::yield();
    }
    listener->stop();
    for (size_t i = 1; i < taken.size(); ++i) {
        ::close(taken[i]);
    }
}

}  // namespace
}  // namespace starling::node
