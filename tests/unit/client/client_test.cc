#include "client/client.h"

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/error.h"
#include "client/admin_client.h"
#include "client/error.h"
#include "env/posix/clock.h"
#include "env/posix/random.h"
#include "tests/unit/client/fake_service.h"

namespace starling::client {
namespace {

using std::chrono::milliseconds;

class ClientTest : public testing::Test {
  protected:
    std::unique_ptr<Client> connect(std::vector<std::string> endpoints,
                                    base::Duration deadline = std::chrono::seconds(10),
                                    RetryPolicy retry = {}) {
        auto client =
            Client::make({.endpoints = std::move(endpoints), .deadline = deadline, .retry = retry},
                         {clock_, wall_clock_, random_});
        EXPECT_TRUE(client.ok()) << client.status();
        return *std::move(client);
    }

    base::Duration time(const std::function<void()>& task) const {
        const auto before = clock_.now();
        task();
        return clock_.now() - before;
    }

    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom random_;
};

TEST_F(ClientTest, APutCarriesItsOptionsAndANamedWrite) {
    FakeServer server;
    server.service.on_put = [](auto*, const auto&, v1::WriteResponse& answer) {
        answer.set_context("after");
        return grpc::Status::OK;
    };
    const auto client = connect({server.address()});
    const std::string bytes("\0\xff\n", 3);
    const auto answer = client->put(
        bytes, bytes, {.request = {.name_space = "carts", .quorum = 2}, .context = "seen"});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->context(), "after");
    ASSERT_EQ(server.service.puts().size(), 1u);
    const v1::PutRequest put = server.service.puts()[0];
    EXPECT_EQ(put.key(), bytes);
    EXPECT_EQ(put.value(), bytes);
    EXPECT_EQ(put.context(), "seen");
    EXPECT_EQ(put.options().namespace_(), "carts");
    EXPECT_EQ(put.options().quorum(), 2u);
    EXPECT_GT(put.request_id().created_ms(), 1'600'000'000'000u);
    EXPECT_NE(put.request_id().random_high(), 0u);
}

TEST_F(ClientTest, ATimeToLiveCountsFromTheMomentAtWhichTheWriteWasNamed) {
    FakeServer server;
    const auto client = connect({server.address()});
    const base::RequestId id{.created_ms = 1'000, .random_high = 1, .random_low = 2};
    const auto put = [&](WriteOptions options) {
        EXPECT_TRUE(client->put("k", "v", options).ok());
        return server.service.puts().back();
    };
    EXPECT_EQ(put({}).expires_ms(), 0u);
    EXPECT_EQ(put({.expires_ms = 77}).expires_ms(), 77u);
    EXPECT_EQ(put({.request_id = id, .ttl = milliseconds(500)}).expires_ms(), 1'500u);
    EXPECT_EQ(
        put({.expires_ms = 77, .request_id = id, .ttl = std::chrono::nanoseconds(1)}).expires_ms(),
        1'001u);
    const v1::PutRequest named = put({.ttl = std::chrono::hours(1)});
    EXPECT_EQ(named.expires_ms(), named.request_id().created_ms() + 3'600'000);
    // What no node takes.
    EXPECT_EQ(put({.request_id = id, .ttl = milliseconds(-5)}).expires_ms(), 1'000u);
}

TEST_F(ClientTest, ARetryIsTheSameWrite) {
    FakeServer server;
    std::atomic<int> tries = 0;
    server.service.on_put = [&tries](grpc::ServerContext* call, const auto&, auto&) {
        return ++tries < 3 ? refuse(call,
                                    grpc::StatusCode::UNAVAILABLE,
                                    std::string(base::reason::quorum_not_reached),
                                    true)
                           : grpc::Status::OK;
    };
    const auto client = connect({server.address()});
    ASSERT_TRUE(client->put("k", "v").ok());
    ASSERT_TRUE(client->put("k", "v").ok());
    const auto puts = server.service.puts();
    ASSERT_EQ(puts.size(), 4u);
    EXPECT_EQ(puts[0].SerializeAsString(), puts[1].SerializeAsString());
    EXPECT_EQ(puts[0].SerializeAsString(), puts[2].SerializeAsString());
    EXPECT_NE(puts[0].request_id().SerializeAsString(), puts[3].request_id().SerializeAsString());
}

TEST_F(ClientTest, WhatIsRefusedForGoodIsNotTriedAgain) {
    FakeServer server;
    server.service.on_put = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(call,
                      grpc::StatusCode::INVALID_ARGUMENT,
                      std::string(base::reason::value_too_large),
                      false,
                      "value: too large");
    };
    const auto client = connect({server.address()});
    const auto answer = client->put("k", "v");
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::reason_of(answer.status()), base::reason::value_too_large);
    EXPECT_EQ(std::string(answer.status().message()), "value: too large");
    EXPECT_FALSE(outcome_unknown(answer.status()));
    EXPECT_EQ(server.service.puts().size(), 1u);
}

TEST_F(ClientTest, AReadThatANodeHasTooOldForTheSessionGoesToTheNextUntilTheDeadline) {
    FakeServer behind;
    FakeServer ahead;
    const auto refusal = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(call, grpc::StatusCode::UNAVAILABLE, "session_not_satisfied");
    };
    behind.service.on_get = refusal;
    const auto client = connect({behind.address(), ahead.address()});
    const auto first = client->get("k");
    EXPECT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(behind.service.gets().size(), 1u);
    EXPECT_EQ(ahead.service.gets().size(), 1u);

    ahead.service.on_get = refusal;
    const auto all_behind = client->get("k", {.deadline = milliseconds(300)});
    EXPECT_EQ(base::reason_of(all_behind.status()), base::reason::session_not_satisfied);
    EXPECT_GT(behind.service.gets().size(), 1u);
    EXPECT_GT(ahead.service.gets().size(), 1u);
}

TEST_F(ClientTest, AFullNodeIsAskedAgainAfterTheTimeItAdvises) {
    FakeServer server;
    std::atomic<int> tries = 0;
    server.service.on_get = [&tries](grpc::ServerContext* call, const auto&, auto&) {
        if (++tries == 2) {
            return grpc::Status::OK;
        }
        call->AddTrailingMetadata("starling-retry-after-ms", "120");
        return refuse(
            call, grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(base::reason::overloaded));
    };
    const auto client = connect({server.address()});
    EXPECT_GE(time([&] { EXPECT_TRUE(client->get("k").ok()); }), milliseconds(120));
    EXPECT_EQ(tries, 2);
}

TEST_F(ClientTest, TheDeadlineEndsAllTriesAndSaysThatTheWriteMayExist) {
    FakeServer server;
    std::promise<void> end;
    server.service.on_put = [done = end.get_future().share()](auto*, const auto&, auto&) {
        done.wait();
        return grpc::Status::OK;
    };
    const auto client =
        connect({server.address()}, milliseconds(300), {.try_timeout = milliseconds(120)});
    absl::Status status;
    const auto taken = time([&] { status = client->put("k", "v").status(); });
    end.set_value();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(base::reason_of(status), base::reason::deadline);
    EXPECT_TRUE(outcome_unknown(status));
    EXPECT_GE(taken, milliseconds(200));
    EXPECT_LT(taken, std::chrono::seconds(3));
    EXPECT_GE(server.service.puts().size(), 2u);
}

TEST_F(ClientTest, ASlowReadHasNoOutcome) {
    FakeServer server;
    server.service.on_get = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(
            call, grpc::StatusCode::DEADLINE_EXCEEDED, std::string(base::reason::deadline));
    };
    const auto client = connect({server.address()}, milliseconds(100));
    const auto status = client->get("k").status();
    EXPECT_EQ(base::reason_of(status), base::reason::deadline);
    EXPECT_FALSE(outcome_unknown(status));
}

TEST_F(ClientTest, WhereNothingListensNothingWasWritten) {
    std::string nowhere;
    {
        FakeServer server;
        nowhere = server.address();
    }
    const auto client = connect({nowhere}, milliseconds(400));
    const auto status = client->put("k", "v").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_TRUE(is_unreachable(status));
    EXPECT_FALSE(outcome_unknown(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(nowhere));
}

TEST_F(ClientTest, ANodeThatIsGoneIsPassedOver) {
    FakeServer first;
    FakeServer second;
    FakeServer third;
    const auto client = connect({first.address(), second.address(), third.address()});
    second.stop();
    for (int i = 0; i < 30; ++i) {
        ASSERT_TRUE(client->put("k", std::to_string(i)).ok());
    }
    EXPECT_EQ(first.service.puts().size() + third.service.puts().size(), 30u);
    EXPECT_GE(first.service.puts().size(), 10u);
    EXPECT_GE(third.service.puts().size(), 10u);
}

TEST_F(ClientTest, TheFirstCallAfterARestartSucceeds) {
    FakeServer server;
    const auto client = connect({server.address()});
    ASSERT_TRUE(client->put("k", "v").ok());
    for (int i = 0; i < 3; ++i) {
        server.stop();
        server.start();
        const auto put = client->put("k", "v");
        EXPECT_TRUE(put.ok()) << put.status();
        const auto get = client->get("k");
        EXPECT_TRUE(get.ok()) << get.status();
    }
}

TEST_F(ClientTest, ACallOutlastsARestart) {
    FakeServer server;
    const auto client = connect({server.address()});
    ASSERT_TRUE(client->get("k").ok());
    server.stop();
    std::promise<absl::Status> answered;
    client->get("k", {}, [&answered](const absl::StatusOr<v1::GetResponse>& answer) {
        answered.set_value(answer.status());
    });
    server.start();
    const absl::Status status = answered.get_future().get();
    EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ClientTest, ANodeThatStopsInTheMiddleOfAWriteLeavesItsOutcomeUnknown) {
    FakeServer server;
    std::promise<void> begun;
    server.service.on_put = [&begun](grpc::ServerContext* call, const auto&, auto&) {
        begun.set_value();
        while (!call->IsCancelled()) {
            std::this_thread::yield();
        }
        return grpc::Status::CANCELLED;
    };
    const auto client = connect({server.address()}, milliseconds(500), {.tries_max = 1});
    std::promise<absl::Status> answered;
    client->put("k", "v", {}, [&answered](const absl::StatusOr<v1::WriteResponse>& answer) {
        answered.set_value(answer.status());
    });
    begun.get_future().wait();
    server.stop();
    EXPECT_TRUE(outcome_unknown(answered.get_future().get()));
}

TEST_F(ClientTest, AClientThatEndsCancelsWhatIsUnderWay) {
    FakeServer server;
    std::promise<void> begun;
    server.service.on_get = [&begun](grpc::ServerContext* call, const auto&, auto&) {
        begun.set_value();
        while (!call->IsCancelled()) {
            std::this_thread::yield();
        }
        return grpc::Status::CANCELLED;
    };
    auto client = connect({server.address()}, std::chrono::seconds(60));
    std::atomic<bool> is_answered = false;
    client->get("k", {}, [&is_answered](const absl::StatusOr<v1::GetResponse>& answer) {
        EXPECT_FALSE(answer.ok());
        is_answered = true;
    });
    begun.get_future().wait();
    client.reset();
    EXPECT_TRUE(is_answered);
}

TEST_F(ClientTest, AClientThatEndsDoesNotWaitForABackoff) {
    std::string nowhere;
    {
        FakeServer server;
        nowhere = server.address();
    }
    auto client = connect(
        {nowhere},
        std::chrono::seconds(60),
        {.backoff_first = std::chrono::seconds(30), .backoff_max = std::chrono::seconds(30)});
    std::atomic<int> answers = 0;
    for (int i = 0; i < 10; ++i) {
        client->get("k", {}, [&answers](const absl::StatusOr<v1::GetResponse>&) { ++answers; });
    }
    EXPECT_LT(time([&] { client.reset(); }), std::chrono::seconds(10));
    EXPECT_EQ(answers, 10);
}

TEST_F(ClientTest, TooManyRequestsAtOnceAreRefused) {
    FakeServer server;
    std::promise<void> end;
    server.service.on_get = [done = end.get_future().share()](auto*, const auto&, auto&) {
        done.wait();
        return grpc::Status::OK;
    };
    auto client = *Client::make({.endpoints = {server.address()}, .requests_max = 1},
                                {clock_, wall_clock_, random_});
    client->get("k", {}, [](const absl::StatusOr<v1::GetResponse>&) {});
    const auto refused = client->get("k").status();
    end.set_value();
    EXPECT_EQ(base::reason_of(refused), base::reason::overloaded);
}

TEST_F(ClientTest, ANamespaceIsCreatedOnceAtMost) {
    FakeServer server;
    std::atomic<int> tries = 0;
    server.service.on_create = [&tries](grpc::ServerContext* call, const auto&, auto&) {
        ++tries;
        return refuse(call, grpc::StatusCode::DEADLINE_EXCEEDED, "deadline", true);
    };
    auto admin =
        AdminClient::make({.endpoints = {server.address()}}, {clock_, wall_clock_, random_});
    ASSERT_TRUE(admin.ok());
    const auto made = (*admin)->create_namespace({});
    EXPECT_TRUE(outcome_unknown(made.status())) << made.status();
    EXPECT_EQ(tries, 1);
}

TEST_F(ClientTest, OptionsThatMakeNoSenseAreNamed) {
    const auto message = [this](ClientOptions options) {
        return std::string(
            Client::make(std::move(options), {clock_, wall_clock_, random_}).status().message());
    };
    EXPECT_THAT(message({}), testing::HasSubstr("endpoints"));
    EXPECT_THAT(message({.endpoints = {"nonsense"}}), testing::HasSubstr("nonsense"));
    EXPECT_THAT(message({.endpoints = {"a:1"}, .connections_per_endpoint = 5}),
                testing::HasSubstr("connections_per_endpoint"));
    EXPECT_THAT(message({.endpoints = {"a:1"}, .deadline = milliseconds(0)}),
                testing::HasSubstr("deadline"));
}

}  // namespace
}  // namespace starling::client
