#include "client/batch.h"

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/error.h"
#include "client/client.h"
#include "client/error.h"
#include "env/posix/clock.h"
#include "env/posix/random.h"
#include "tests/unit/client/fake_service.h"

namespace starling::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BatchTest : public testing::Test {
  protected:
    void open(std::vector<std::string> endpoints,
              const BatchOptions& options = {},
              base::Duration deadline = seconds(10),
              RetryPolicy retry = {}) {
        client_ =
            *Client::make({.endpoints = std::move(endpoints), .deadline = deadline, .retry = retry},
                          {clock_, wall_clock_, random_});
        auto batch = client_->batch(options, [this](const BatchAnswer& answer) { note(answer); });
        ASSERT_TRUE(batch.ok()) << batch.status();
        batch_ = *std::move(batch);
    }
    void note(const BatchAnswer& answer) {
        EXPECT_FALSE(is_answering_.exchange(true)) << "two answers at once";
        {
            absl::MutexLock lock(&mutex_);
            EXPECT_TRUE(answers_.emplace(answer.index, answer).second) << answer.index;
        }
        is_answering_ = false;
    }
    std::map<uint64_t, BatchAnswer> answers() {
        absl::MutexLock lock(&mutex_);
        return answers_;
    }
    size_t ok_count() {
        size_t count = 0;
        for (const auto& [index, answer] : answers()) {
            count += answer.status.ok() ? 1u : 0u;
        }
        return count;
    }
    // Blocks until `count` operations have reached the server.
    static void await_operations(FakeServer& server, size_t count) {
        while (server.service.operations().size() < count) {
            std::this_thread::yield();
        }
    }

    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom random_;
    absl::Mutex mutex_;
    std::atomic<bool> is_answering_ = false;
    std::map<uint64_t, BatchAnswer> answers_;
    std::unique_ptr<Client> client_;
    std::unique_ptr<Batch> batch_;
};

TEST_F(BatchTest, EachOperationIsAnsweredOnceUnderItsIndex) {
    FakeServer server;
    open({server.address()});
    constexpr uint64_t total = 20'000;
    for (uint64_t i = 0; i < total; ++i) {
        const std::string key = std::to_string(i);
        const uint64_t index = i % 3 == 0   ? batch_->get(key)
                               : i % 3 == 1 ? batch_->put(key, "value")
                                            : batch_->del(key);
        ASSERT_EQ(index, i);
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), total);
    EXPECT_EQ(server.service.operations().size(), total);
}

TEST_F(BatchTest, AWriteCarriesItsOptionsAndARequestId) {
    FakeServer server;
    open({server.address()});
    batch_->put("k", "v", {.request = {.name_space = "carts", .quorum = 2}, .context = "seen"});
    batch_->del("k");
    batch_->wait();
    const auto operations = server.service.operations();
    ASSERT_EQ(operations.size(), 2u);
    const v1::PutRequest& put = operations[0].put();
    EXPECT_EQ(put.context(), "seen");
    EXPECT_EQ(put.options().namespace_(), "carts");
    EXPECT_EQ(put.options().quorum(), 2u);
    EXPECT_GT(put.options().deadline_ms(), 0u);
    EXPECT_NE(put.request_id().random_high(), 0u);
    EXPECT_NE(put.request_id().SerializeAsString(),
              operations[1].delete_().request_id().SerializeAsString());
}

TEST_F(BatchTest, NoMoreThanTheLimitIsUnderWayAndTheCallerWaits) {
    FakeServer server;
    absl::Notification release;
    server.service.on_operation = [&release](const v1::BatchOperation& operation) {
        release.WaitForNotification();
        return FakeService::done(operation);
    };
    open({server.address()}, {.operations_max = 8});
    std::atomic<int> begun = 0;
    std::thread caller([&] {
        for (int i = 0; i < 40; ++i) {
            batch_->put("k", "v");
            ++begun;
        }
    });
    while (begun < 8) {
        std::this_thread::yield();
    }
    EXPECT_EQ(begun, 8);
    release.Notify();
    caller.join();
    batch_->wait();
    EXPECT_EQ(ok_count(), 40u);
}

TEST_F(BatchTest, ErrorsConcernTheirOperationAndAreTyped) {
    FakeServer server;
    server.service.on_operation = [](const v1::BatchOperation& operation) {
        v1::BatchResult result = FakeService::done(operation);
        if (operation.has_put() && operation.put().key() == "bad") {
            result.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
            result.mutable_error()->set_reason("value_too_large");
            result.mutable_error()->set_message("value: too large");
        }
        return result;
    };
    open({server.address()});
    const uint64_t bad = batch_->put("bad", "v");
    const uint64_t good = batch_->put("good", "v");
    batch_->wait();
    EXPECT_EQ(base::reason_of(answers().at(bad).status), base::reason::value_too_large);
    EXPECT_EQ(answers().at(bad).status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(answers().at(good).status.ok());
}

TEST_F(BatchTest, ARestartInTheMiddleLosesNothingAndRepeatsTheSameWrites) {
    FakeServer server;
    std::atomic<bool> is_silent = true;
    server.service.on_operation =
        [&is_silent](const v1::BatchOperation& operation) -> std::optional<v1::BatchResult> {
        return is_silent ? std::nullopt : std::optional(FakeService::done(operation));
    };
    open({server.address()});
    for (int i = 0; i < 100; ++i) {
        batch_->put(std::to_string(i), "v");
    }
    await_operations(server, 100);
    server.stop();
    is_silent = false;
    server.start();
    batch_->wait();
    EXPECT_EQ(ok_count(), 100u);
    std::map<std::string, std::string> ids;
    for (const v1::BatchOperation& operation : server.service.operations()) {
        const std::string id = operation.put().request_id().SerializeAsString();
        EXPECT_EQ(ids.emplace(operation.put().key(), id).first->second, id);
    }
    EXPECT_EQ(ids.size(), 100u);
}

TEST_F(BatchTest, ANodeThatStopsInOrderHandsTheRestToTheNext) {
    FakeServer first;
    FakeServer second;
    first.service.on_batch = [](grpc::ServerContext* call, FakeService::BatchCall& stream) {
        v1::BatchRequest request;
        stream.Read(&request);
        return refuse(call, grpc::StatusCode::UNAVAILABLE, std::string(base::reason::stopping));
    };
    open({first.address(), second.address()});
    for (int i = 0; i < 50; ++i) {
        batch_->put(std::to_string(i), "v");
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), 50u);
    EXPECT_EQ(second.service.operations().size(), 50u);
}

TEST_F(BatchTest, ANodeThatFallsSilentIsLeft) {
    FakeServer first;
    FakeServer second;
    first.service.on_operation = [](const v1::BatchOperation&) { return std::nullopt; };
    open({first.address(), second.address()}, {}, seconds(10), {.try_timeout = milliseconds(300)});
    for (int i = 0; i < 50; ++i) {
        batch_->put(std::to_string(i), "v");
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), 50u);
    EXPECT_EQ(second.service.operations().size(), 50u);
}

TEST_F(BatchTest, AStreamOfManyBytesFitsANodeThatTakesSmallMessages) {
    FakeServer server(256 << 10);
    open({server.address()});
    for (int i = 0; i < 400; ++i) {
        batch_->put(std::to_string(i), std::string(size_t{10} << 10, 'v'));
    }
    batch_->put("large", std::string(size_t{190} << 10, 'v'));
    batch_->wait();
    EXPECT_EQ(ok_count(), 401u);
    EXPECT_EQ(server.service.operations().size(), 401u) << "each once";
}

TEST_F(BatchTest, AnOperationLargerThanAMessageIsARequestOfItsOwn) {
    FakeServer server;
    server.service.on_put = [](auto*, const auto&, v1::WriteResponse& answer) {
        answer.set_context("written");
        return grpc::Status::OK;
    };
    open({server.address()});
    const std::string value(size_t{1} << 20, 'v');
    const uint64_t large = batch_->put("large", value, {.request = {.quorum = 2}});
    const uint64_t small = batch_->put("small", "v");
    const uint64_t removed = batch_->del("k", {.context = value});
    const uint64_t read = batch_->get(value);
    batch_->wait();
    EXPECT_EQ(ok_count(), 4u);
    EXPECT_EQ(answers().at(large).write.context(), "written");
    EXPECT_TRUE(answers().contains(small));
    EXPECT_TRUE(answers().contains(removed));
    EXPECT_TRUE(answers().contains(read));
    EXPECT_EQ(server.service.operations().size(), 1u);
    ASSERT_EQ(server.service.puts().size(), 1u);
    const v1::PutRequest put = server.service.puts()[0];
    EXPECT_EQ(put.value(), value);
    EXPECT_EQ(put.options().quorum(), 2u);
    EXPECT_NE(put.request_id().random_high(), 0u);
    EXPECT_EQ(server.service.deletes().size(), 1u);
    EXPECT_EQ(server.service.gets().size(), 1u);
}

TEST_F(BatchTest, AnOperationBeyondWhatTheNodeTakesIsRefusedAndTheOthersAreCarriedOut) {
    FakeServer server(256 << 10);
    open({server.address()});
    uint64_t large = 0;
    for (int i = 0; i < 100; ++i) {
        if (i == 50) {
            large = batch_->put("large", std::string(size_t{300} << 10, 'v'));
        }
        batch_->put(std::to_string(i), "v");
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), 100u);
    EXPECT_EQ(server.service.operations().size(), 100u) << "each once";
    const absl::Status status = answers().at(large).status;
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_FALSE(outcome_unknown(status)) << status;
}

TEST_F(BatchTest, AMessageThatGrpcRefusesEndsNoWriteThatAnEarlierOneMayHaveBegun) {
    FakeServer server;
    std::atomic<int> streams = 0;
    server.service.on_batch = [&](grpc::ServerContext* call, FakeService::BatchCall& stream) {
        if (++streams > 1) {
            return server.service.serve_batch(call, stream);
        }
        v1::BatchRequest request;
        stream.Read(&request);
        return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "message larger than max");
    };
    open({server.address()});
    for (int i = 0; i < 50; ++i) {
        batch_->put(std::to_string(i), "v");
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), 50u);

    server.service.on_batch = [](grpc::ServerContext*, FakeService::BatchCall& stream) {
        v1::BatchRequest request;
        stream.Read(&request);
        return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "message larger than max");
    };
    batch_.reset();
    answers_.clear();
    open({server.address()}, {}, seconds(10), {.tries_max = 2});
    const uint64_t write = batch_->put("k", "v");
    batch_->wait();
    const uint64_t read = batch_->get("k");
    batch_->wait();
    EXPECT_TRUE(absl::IsResourceExhausted(answers().at(write).status));
    EXPECT_TRUE(outcome_unknown(answers().at(write).status));
    EXPECT_THAT(std::string(answers().at(write).status.message()), testing::HasSubstr("2 tries"));
    EXPECT_FALSE(outcome_unknown(answers().at(read).status));
}

TEST_F(BatchTest, AnEndDoesNotWaitForAnOperationThatIsARequestOfItsOwn) {
    FakeServer server;
    absl::Notification has_begun;
    server.service.on_put = [&has_begun](grpc::ServerContext* call, const auto&, auto&) {
        has_begun.Notify();
        while (!call->IsCancelled()) {
            std::this_thread::yield();
        }
        return grpc::Status::CANCELLED;
    };
    open({server.address()}, {}, seconds(600), {.try_timeout = seconds(600)});
    batch_->put("large", std::string(size_t{1} << 20, 'v'));
    has_begun.WaitForNotification();
    const auto begun = clock_.now();
    batch_.reset();
    EXPECT_LT(clock_.now() - begun, seconds(300));
    EXPECT_TRUE(absl::IsCancelled(answers().at(0).status));
    EXPECT_TRUE(outcome_unknown(answers().at(0).status));
}

TEST_F(BatchTest, TheLastOfTheAnswersThatAreThereIsMarked) {
    FakeServer server;
    open({server.address()});
    for (int i = 0; i < 10; ++i) {
        batch_->put("k", "v");
        batch_->wait();
        EXPECT_TRUE(answers().at(static_cast<uint64_t>(i)).is_last_of_group);
    }
}

TEST_F(BatchTest, EachOperationEndsAtItsOwnDeadline) {
    FakeServer server;
    server.service.on_operation =
        [](const v1::BatchOperation& operation) -> std::optional<v1::BatchResult> {
        return operation.has_get() ? std::optional(FakeService::done(operation)) : std::nullopt;
    };
    open({server.address()});
    const uint64_t late = batch_->put("k", "v", {.request = {.deadline = milliseconds(150)}});
    const auto begun = clock_.now();
    batch_->wait();
    EXPECT_LT(clock_.now() - begun, seconds(3));
    const absl::Status status = answers().at(late).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(base::reason_of(status), base::reason::deadline);
    EXPECT_TRUE(outcome_unknown(status));
    // The batch goes on.
    const uint64_t next = batch_->get("k");
    batch_->wait();
    EXPECT_TRUE(answers().at(next).status.ok()) << answers().at(next).status;
}

TEST_F(BatchTest, WhereNothingListensNothingWasWritten) {
    std::string nowhere;
    {
        FakeServer server;
        nowhere = server.address();
    }
    open({nowhere}, {}, milliseconds(400));
    batch_->put("k", "v");
    batch_->wait();
    const absl::Status status = answers().at(0).status;
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(is_unreachable(status)) << status;
    EXPECT_FALSE(outcome_unknown(status)) << status;
}

TEST_F(BatchTest, AnEndWhileOperationsAreUnderWayAnswersEach) {
    FakeServer server;
    server.service.on_operation = [](const v1::BatchOperation&) { return std::nullopt; };
    open({server.address()});
    for (int i = 0; i < 20; ++i) {
        batch_->put("k", "v");
    }
    await_operations(server, 20);
    batch_.reset();
    EXPECT_EQ(answers().size(), 20u);
    for (const auto& [index, answer] : answers()) {
        EXPECT_TRUE(absl::IsCancelled(answer.status)) << answer.status;
        EXPECT_TRUE(outcome_unknown(answer.status));
    }
}

TEST_F(BatchTest, SeveralThreadsShareABatch) {
    FakeServer server;
    open({server.address()}, {.operations_max = 64});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([this] {
            for (int i = 0; i < 2000; ++i) {
                batch_->put("k", "v");
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    batch_->wait();
    EXPECT_EQ(ok_count(), 8000u);
}

TEST_F(BatchTest, OptionsThatMakeNoSenseAreNamed) {
    FakeServer server;
    open({server.address()});
    const auto message = [this](const BatchOptions& options) {
        return std::string(client_->batch(options, [](const BatchAnswer&) {}).status().message());
    };
    EXPECT_THAT(message({.operations_max = 0}), testing::HasSubstr("operations_max"));
    EXPECT_THAT(message({.bytes_max = 0}), testing::HasSubstr("bytes_max"));
}

}  // namespace
}  // namespace starling::client
