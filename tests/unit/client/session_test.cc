// A client with read_your_writes, against a node that hands out numbered tokens.

#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/client.h"
#include "env/posix/clock.h"
#include "env/posix/random.h"
#include "tests/unit/client/fake_service.h"

namespace starling::client {
namespace {

class ClientSessionTest : public testing::Test {
  protected:
    ClientSessionTest() {
        server_.service.on_put = [this](auto*, const auto&, v1::WriteResponse& answer) {
            answer.set_session(next_token());
            return grpc::Status::OK;
        };
        server_.service.on_delete = [this](auto*, const auto&, v1::WriteResponse& answer) {
            answer.set_session(next_token());
            return grpc::Status::OK;
        };
        server_.service.on_get = [this](auto*, const auto&, v1::GetResponse& answer) {
            answer.set_session(next_token());
            return grpc::Status::OK;
        };
        server_.service.on_operation = [this](const v1::BatchOperation& operation) {
            v1::BatchResult result = FakeService::done(operation);
            (operation.has_get() ? *result.mutable_get()->mutable_session()
                                 : *result.mutable_write()->mutable_session()) = next_token();
            return std::optional(result);
        };
    }

    std::unique_ptr<Client> connect(bool read_your_writes) {
        auto client =
            Client::make({.endpoints = {server_.address()}, .read_your_writes = read_your_writes},
                         {clock_, wall_clock_, random_});
        EXPECT_TRUE(client.ok()) << client.status();
        return *std::move(client);
    }
    std::string next_token() { return "token " + std::to_string(++tokens_); }

    std::atomic<int> tokens_ = 0;
    FakeServer server_;
    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom random_;
};

TEST_F(ClientSessionTest, EachRequestCarriesWhatTheSessionHasSeenOfItsKey) {
    const auto client = connect(true);
    ASSERT_TRUE(client->put("k", "v").ok());
    ASSERT_TRUE(client->put("other", "v").ok());
    ASSERT_TRUE(client->get("k").ok());
    ASSERT_TRUE(client->del("k").ok());
    ASSERT_TRUE(client->get("k").ok());
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 2u);
    EXPECT_TRUE(puts[0].has_session());
    EXPECT_EQ(puts[0].session(), "");
    EXPECT_EQ(puts[1].session(), "") << "nothing of this key";
    EXPECT_EQ(server_.service.gets()[0].session(), "token 1");
    EXPECT_EQ(server_.service.deletes()[0].session(), "token 3");
    EXPECT_EQ(server_.service.gets()[1].session(), "token 4");
}

TEST_F(ClientSessionTest, WithoutTheOptionNothingIsSent) {
    const auto client = connect(false);
    ASSERT_TRUE(client->put("k", "v").ok());
    ASSERT_TRUE(client->get("k").ok());
    EXPECT_FALSE(server_.service.puts()[0].has_session());
    EXPECT_FALSE(server_.service.gets()[0].has_session());
    EXPECT_TRUE(client->session().empty());
}

TEST_F(ClientSessionTest, ABatchSharesTheSessionOfItsClient) {
    const auto client = connect(true);
    ASSERT_TRUE(client->put("k", "v").ok());
    const auto batch = client->batch(
        {}, [](const BatchAnswer& answer) { EXPECT_TRUE(answer.status.ok()) << answer.status; });
    ASSERT_TRUE(batch.ok());
    (*batch)->put("k", "w");
    (*batch)->wait();
    (*batch)->get("k");
    (*batch)->wait();
    (*batch)->del("k");
    (*batch)->wait();
    ASSERT_TRUE(client->get("k").ok());
    const auto operations = server_.service.operations();
    ASSERT_EQ(operations.size(), 3u);
    EXPECT_EQ(operations[0].put().session(), "token 1");
    EXPECT_EQ(operations[1].get().session(), "token 2");
    EXPECT_EQ(operations[2].delete_().session(), "token 3");
    EXPECT_EQ(server_.service.gets()[0].session(), "token 4");
}

TEST_F(ClientSessionTest, AnotherClientCanGoOnWithIt) {
    const auto first = connect(true);
    ASSERT_TRUE(first->put("k", "v").ok());
    const auto second = connect(true);
    second->resume(first->session());
    ASSERT_TRUE(second->get("k").ok());
    EXPECT_EQ(server_.service.gets()[0].session(), "token 1");
    EXPECT_EQ(second->session_forgotten(), 0u);
}

TEST_F(ClientSessionTest, AWriteThatFailedIsNotSeen) {
    server_.service.on_put = [](grpc::ServerContext* call, const auto&, v1::WriteResponse&) {
        return refuse(call, grpc::StatusCode::INVALID_ARGUMENT, "value_too_large");
    };
    const auto client = connect(true);
    EXPECT_FALSE(client->put("k", "v").ok());
    EXPECT_TRUE(client->session().empty());
}

}  // namespace
}  // namespace starling::client
