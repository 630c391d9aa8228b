#include "node/doors/http_door.h"

#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "node/doors/address.h"
#include "tests/unit/node/doors/door_fixture.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpDoorTest : public testing::Test {
  protected:
    HttpDoorTest() { open({}); }

    void open(HttpDoorOptions options) {
        doors_ = std::make_unique<Doors>(GrpcDoorOptions{}, options);
    }

    // Sends bytes as they are, and returns all that comes until the door closes.
    std::string exchange(const std::string& bytes) {
        boost::asio::io_context context;
        boost::asio::ip::tcp::socket socket(context);
        socket.connect(*parse_address(doors_->http_listener->address()));
        boost::system::error_code error;
        boost::asio::write(socket, boost::asio::buffer(bytes), error);
        std::string answer;
        boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
        return answer;
    }
    std::string get(const std::string& path) {
        return exchange("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }

    std::unique_ptr<Doors> doors_;
};

TEST_F(HttpDoorTest, HealthIsOfTheProcessAndReadinessOfTheNode) {
    doors_->node.hold();
    EXPECT_THAT(get("/healthz"), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ok")));
    EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200"));
    doors_->is_ready = false;
    EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpDoorTest, MetricsShowWhatTheNodeReportsAndWhatTheDoorsCount) {
    StatusReport report;
    report.metrics = {{"starling_puts_total{namespace=\"default\",code=\"OK\"}", 7},
                      {"starling_hints", 2},
                      {"broken{name", 1}};
    report.memory = {{.what = "memtables", .bytes_used = 10, .bytes_max = 20}};
    doors_->node.status_answer = report;
    doors_->metrics.record(Method::put, absl::StatusCode::kOk, milliseconds(1));
    doors_->metrics.record(Method::put, absl::StatusCode::kUnavailable, milliseconds(2));
    const std::string page = get("/metrics");
    EXPECT_THAT(page, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(page, HasSubstr("text/plain; version=0.0.4"));
    EXPECT_THAT(page, HasSubstr("starling_puts_total{namespace=\"default\",code=\"OK\"} 7"));
    EXPECT_THAT(page, HasSubstr("# TYPE starling_hints gauge"));
    EXPECT_THAT(page, HasSubstr("starling_requests_total{method=\"Put\",code=\"UNAVAILABLE\"} 1"));
    EXPECT_THAT(page, HasSubstr("starling_request_seconds_count{method=\"Put\"} 2"));
    EXPECT_THAT(page, HasSubstr("starling_memory_bytes_max{part=\"memtables\"} 20"));
    EXPECT_THAT(page, HasSubstr("starling_connections_accepted_total{door=\"http\"} 1"));
    EXPECT_THAT(page, Not(HasSubstr("broken")));
}

TEST_F(HttpDoorTest, StatusIsJsonWithWarningsAndMembers) {
    StatusReport report;
    report.node = base::NodeId(0xbeef);
    report.cluster_name = "flock\xff";
    report.warnings = {"1 of 3 copies"};
    report.damage = "000007.table: block 3";
    report.members = {{.node = base::NodeId(1), .state = "member"}};
    report.tombstones_waiting = {{.node = base::NodeId(0xdead),
                                  .client_address = "127.0.0.1:4003",
                                  .tombstones = 7,
                                  .waiting_ms = 96'000}};
    doors_->node.status_answer = report;
    EXPECT_THAT(get("/status?pretty"),
                AllOf(StartsWith("HTTP/1.1 200"),
                      HasSubstr("application/json"),
                      HasSubstr("\"node_id\": \"000000000000beef\""),
                      HasSubstr("1 of 3 copies"),
                      HasSubstr("\"damage\": \"000007.table: block 3\""),
                      HasSubstr("\"state\": \"member\""),
                      HasSubstr(R"("tombstones_waiting": [
    {
      "node_id": "000000000000dead",
      "client_address": "127.0.0.1:4003",
      "tombstones": 7,
      "waiting_ms": 96000
    }
  ])")));
}

TEST_F(HttpDoorTest, WhatTheNodeRefusesToTellIsA503) {
    doors_->node.status_answer = absl::UnavailableError("starting");
    EXPECT_THAT(get("/metrics"), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("starting")));
}

TEST_F(HttpDoorTest, ANodeThatDoesNotAnswerIsA503AndItsLateAnswerHarmless) {
    open({.status_timeout = milliseconds(50)});
    doors_->node.hold();
    EXPECT_THAT(get("/status"), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("in time")));
    doors_->node.release();
    EXPECT_THAT(get("/status"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpDoorTest, AnAnswerThatTheNodeDropsIsA503) {
    open({.status_timeout = milliseconds(50)});
    doors_->node.hold();
    std::thread dropper([this] {
        ASSERT_TRUE(doors_->node.wait_for_held(1));
        doors_->node.drop_all();
    });
    EXPECT_THAT(get("/status"), StartsWith("HTTP/1.1 503"));
    dropper.join();
}

TEST_F(HttpDoorTest, UnknownPathsAndMethodsAreRefused) {
    EXPECT_THAT(get("/"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(get("/metrics/x"), StartsWith("HTTP/1.1 404"));
    for (const char* method : {"HEAD", "DELETE", "OPTIONS", "BREW"}) {
        const std::string answer = exchange(
            std::string(method) + " /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET"))) << method;
    }
}

TEST_F(HttpDoorTest, MalformedAndOversizedRequestsAreRefusedAndTheDoorStays) {
    EXPECT_THAT(exchange("complete nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(exchange("GET / HTTP/9.9\r\n\r\n"), StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(exchange("GET /status HTTP/1.1\r\nX: " + std::string(10'000, 'x') + "\r\n\r\n"),
                StartsWith("HTTP/1.1 431"));
    EXPECT_THAT(exchange("GET /" + std::string(10'000, 'x') + " HTTP/1.1\r\n\r\n"),
                StartsWith("HTTP/1.1 431"));
    EXPECT_THAT(exchange("POST /status HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789"),
                StartsWith("HTTP/1.1 4"));
    EXPECT_THAT(exchange(std::string(200, '\0')), StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpDoorTest, AClientThatDoesNotFinishItsRequestIsClosed) {
    open({.request_timeout = milliseconds(50)});
    EXPECT_EQ(exchange("GET /healthz HT"), "");
}

TEST_F(HttpDoorTest, AConnectionServesSeveralRequests) {
    const std::string request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string answers = exchange(
        request + request + "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    size_t count = 0;
    for (size_t at = answers.find("HTTP/1.1 200"); at != std::string::npos;
         at = answers.find("HTTP/1.1 200", at + 1)) {
        ++count;
    }
    EXPECT_EQ(count, 3u) << answers;
}

TEST_F(HttpDoorTest, StoppingClosesIdleConnections) {
    boost::asio::io_context context;
    boost::asio::ip::tcp::socket socket(context);
    socket.connect(*parse_address(doors_->http_listener->address()));
    boost::system::error_code error;
    boost::asio::write(socket, boost::asio::buffer(std::string("GET /he")), error);
    doors_->http->stop();
    std::string answer;
    boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
    EXPECT_EQ(answer, "");
}

}  // namespace
}  // namespace starling::node
