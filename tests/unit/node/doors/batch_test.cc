#include <map>
#include <thread>

#include "gmock/gmock.h"
#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include "starling/v1/kv.grpc.pb.h"
#include "tests/unit/node/doors/door_fixture.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Stream = grpc::ClientReaderWriter<v1::BatchRequest, v1::BatchResponse>;

void add_put(v1::BatchRequest& message, uint64_t number, const std::string& key) {
    v1::BatchOperation& operation = *message.add_operations();
    operation.set_number(number);
    operation.mutable_put()->set_key(key);
    operation.mutable_put()->set_value("v" + key);
}

void add_get(v1::BatchRequest& message, uint64_t number, const std::string& key) {
    v1::BatchOperation& operation = *message.add_operations();
    operation.set_number(number);
    operation.mutable_get()->set_key(key);
}

class BatchTest : public testing::Test {
  protected:
    void open(GrpcDoorOptions options = {}) {
        stream_.reset();
        doors_ = std::make_unique<Doors>(options);
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(-1);
        kv_ = v1::KV::NewStub(grpc::CreateCustomChannel(
            doors_->grpc_listener->address(), grpc::InsecureChannelCredentials(), arguments));
        context_ = std::make_unique<grpc::ClientContext>();
        context_->set_deadline(std::chrono::system_clock::now() + seconds(30));
        stream_ = kv_->Batch(context_.get());
    }
    void SetUp() override { open(); }
    void TearDown() override {
        doors_->node.release();
        stream_.reset();
    }

    FakeNode& node() { return doors_->node; }

    // The next `count` results in the order of their arrival; fewer when the stream ends.
    std::vector<v1::BatchResult> read(size_t count) {
        std::vector<v1::BatchResult> results;
        v1::BatchResponse message;
        while (results.size() < count && stream_->Read(&message)) {
            results.insert(results.end(), message.results().begin(), message.results().end());
        }
        return results;
    }
    // Until nothing more reaches the node: what it has been asked in all.
    size_t gets_when_quiet() {
        size_t before = 0;
        for (;;) {
            std::this_thread::sleep_for(milliseconds(100));
            const size_t now = node().gets().size();
            if (now == before && now != 0) {
                return now;
            }
            before = now;
        }
    }

    std::unique_ptr<Doors> doors_;
    std::unique_ptr<v1::KV::Stub> kv_;
    std::unique_ptr<grpc::ClientContext> context_;
    std::unique_ptr<Stream> stream_;
};

TEST_F(BatchTest, ResultsComeInTheOrderInWhichTheyFinishWithTheirNumbers) {
    node().hold();
    v1::BatchRequest message;
    add_put(message, 10, "a");
    add_put(message, 11, "b");
    add_get(message, 12, "c");
    ASSERT_TRUE(stream_->Write(message));
    ASSERT_TRUE(node().wait_for_held(3));
    node().answer_one(true);
    EXPECT_EQ(read(1).at(0).number(), 12u);
    node().answer_one(true);
    EXPECT_EQ(read(1).at(0).number(), 11u);
    node().answer_one(true);
    const auto last = read(1);
    EXPECT_EQ(last.at(0).number(), 10u);
    EXPECT_EQ(last.at(0).write().context(), "ctx");
    stream_->WritesDone();
    EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(BatchTest, AnErrorStaysInItsResultAndTheStreamGoesOn) {
    node().on_put = [](const PutRequest& request) -> absl::StatusOr<PutResult> {
        if (request.key == "bad") {
            return base::make_error(
                absl::StatusCode::kUnavailable, base::reason::quorum_not_reached, "1 of 2");
        }
        return PutResult{};
    };
    v1::BatchRequest message;
    add_put(message, 1, "bad");
    add_put(message, 2, "");
    message.add_operations()->set_number(3);
    add_put(message, 4, "good");
    v1::BatchOperation& removal = *message.add_operations();
    removal.set_number(5);
    removal.mutable_delete_()->set_key("old");
    ASSERT_TRUE(stream_->Write(message));
    std::map<uint64_t, v1::BatchResult> by_number;
    for (const v1::BatchResult& result : read(5)) {
        by_number[result.number()] = result;
    }
    ASSERT_EQ(by_number.size(), 5u);
    EXPECT_EQ(by_number[1].error().reason(), "quorum_not_reached");
    EXPECT_EQ(by_number[1].error().code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_TRUE(by_number[1].error().outcome_unknown());
    EXPECT_GT(by_number[1].error().retry_after_ms(), 0u);
    EXPECT_EQ(by_number[2].error().reason(), "key_empty");
    EXPECT_EQ(by_number[3].error().reason(), "invalid_request");
    EXPECT_TRUE(by_number[4].has_write());
    EXPECT_TRUE(by_number[5].has_write());
    stream_->WritesDone();
    EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(BatchTest, OperationsBeyondTheMostOfAMessageAreRefusedOneByOne) {
    GrpcDoorOptions options;
    options.batch_operations_per_message_max = 2;
    open(options);
    v1::BatchRequest message;
    for (uint64_t number = 0; number < 4; ++number) {
        add_put(message, number, "k");
    }
    ASSERT_TRUE(stream_->Write(message));
    size_t refused = 0;
    for (const v1::BatchResult& result : read(4)) {
        refused += result.error().reason() == "request_too_large" ? 1u : 0u;
    }
    EXPECT_EQ(refused, 2u);
    EXPECT_EQ(node().puts().size(), 2u);
}

TEST_F(BatchTest, NoMoreThanTheLimitAreHandedToTheNodeAtOnce) {
    GrpcDoorOptions options;
    options.batch_requests_in_flight_max = 8;
    open(options);
    node().hold();
    std::thread writer([this] {
        for (uint64_t number = 0; number < 200; number += 4) {
            v1::BatchRequest message;
            for (uint64_t i = 0; i < 4; ++i) {
                add_get(message, number + i, fmt::format("{}", number + i));
            }
            if (!stream_->Write(message)) {
                break;
            }
        }
        stream_->WritesDone();
    });
    EXPECT_EQ(gets_when_quiet(), 8u);
    std::thread reader([this] { EXPECT_EQ(read(200).size(), 200u); });
    node().release();
    writer.join();
    reader.join();
    EXPECT_TRUE(stream_->Finish().ok());
    EXPECT_EQ(node().gets().size(), 200u);
}

TEST_F(BatchTest, AClientThatDoesNotReadItsResultsStopsBeingRead) {
    GrpcDoorOptions options;
    options.batch_bytes_in_flight_max = 1u << 20;
    open(options);
    const std::string value(100u << 10, 'x');
    node().on_get = [&value](const GetRequest&) {
        GetResult result;
        result.values = {{.value = value}};
        return result;
    };
    constexpr size_t total = 1000;
    std::thread writer([this] {
        for (uint64_t number = 0; number < total; ++number) {
            v1::BatchRequest message;
            add_get(message, number, "k");
            if (!stream_->Write(message)) {
                break;
            }
        }
        stream_->WritesDone();
    });
    // 1 MiB of results held, one message on its way, and what the connection's windows take: far
    // below 100 MB.
    EXPECT_LT(gets_when_quiet(), 200u);
    EXPECT_LE(doors_->grpc->admission().bytes(), 4u << 20);
    EXPECT_EQ(read(total).size(), total);
    writer.join();
    EXPECT_TRUE(stream_->Finish().ok());
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
    EXPECT_EQ(doors_->grpc->admission().bytes(), 0u);
}

TEST_F(BatchTest, ManySubRequestsAreEachAnsweredOnce) {
    constexpr uint64_t total = 20'000;
    std::thread writer([this] {
        for (uint64_t number = 0; number < total; number += 50) {
            v1::BatchRequest message;
            for (uint64_t i = number; i < number + 50; ++i) {
                i % 3 == 0 ? add_get(message, i, "k") : add_put(message, i, "k");
            }
            ASSERT_TRUE(stream_->Write(message));
        }
        stream_->WritesDone();
    });
    std::map<uint64_t, int> seen;
    for (const v1::BatchResult& result : read(total)) {
        EXPECT_FALSE(result.has_error());
        ++seen[result.number()];
    }
    writer.join();
    EXPECT_EQ(seen.size(), total);
    EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(BatchTest, ACancelledStreamEndsOnceTheNodeHasAnswered) {
    node().hold();
    v1::BatchRequest message;
    add_put(message, 1, "a");
    add_put(message, 2, "b");
    ASSERT_TRUE(stream_->Write(message));
    ASSERT_TRUE(node().wait_for_held(2));
    context_->TryCancel();
    EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_FALSE(doors_->grpc->drain(milliseconds(20)));
    node().answer_one();
    node().drop_all();
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
    EXPECT_EQ(doors_->grpc->admission().requests(), 0u);
}

TEST_F(BatchTest, StoppingAnswersWhatWasTakenAndEndsTheStream) {
    node().hold();
    v1::BatchRequest message;
    add_put(message, 1, "a");
    ASSERT_TRUE(stream_->Write(message));
    ASSERT_TRUE(node().wait_for_held(1));
    EXPECT_FALSE(doors_->grpc->drain(milliseconds(20)));
    node().answer_all();
    const auto results = read(1);
    ASSERT_EQ(results.size(), 1u);
    EXPECT_TRUE(results[0].has_write());
    v1::BatchResponse nothing;
    EXPECT_FALSE(stream_->Read(&nothing));
    EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_TRUE(context_->GetServerTrailingMetadata().contains("starling-reason"));
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
}

TEST_F(BatchTest, AnIdleStreamEndsWhenTheDoorStops) {
    v1::BatchRequest message;
    add_put(message, 1, "a");
    ASSERT_TRUE(stream_->Write(message));
    ASSERT_EQ(read(1).size(), 1u);
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
    v1::BatchResponse nothing;
    EXPECT_FALSE(stream_->Read(&nothing));
    EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
    doors_->grpc->shutdown();
}

TEST_F(BatchTest, WhatTheNodeDropsIsAnsweredAsUnknown) {
    node().hold();
    v1::BatchRequest message;
    add_put(message, 7, "a");
    ASSERT_TRUE(stream_->Write(message));
    ASSERT_TRUE(node().wait_for_held(1));
    node().drop_all();
    const auto results = read(1);
    ASSERT_EQ(results.size(), 1u);
    EXPECT_EQ(results[0].number(), 7u);
    EXPECT_TRUE(results[0].error().outcome_unknown());
}

}  // namespace
}  // namespace starling::node
