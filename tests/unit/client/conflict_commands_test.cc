#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "client/cli/exit_codes.h"
#include "tests/unit/client/cli_fixture.h"

namespace starling::client {
namespace {

using testing::HasSubstr;
using testing::Not;

class ConflictCommandsTest : public CliTest {
  protected:
    ConflictCommandsTest() {
        v1::StatusResponse& status = server_.service.status_answer;
        status.set_node_id(7);
        status.set_partition_count(4);
        add_member(7, server_.address());
        server_.service.on_get = [](auto*, const auto&, v1::GetResponse& answer) {
            add_value(answer, "first", 1);
            add_value(answer, std::string("\x1b[1m\xff", 5), 2);
            answer.set_context("\x01\xab");
            return grpc::Status::OK;
        };
    }
    void add_member(uint64_t id, const std::string& address) {
        v1::Member& member = *server_.service.status_answer.add_members();
        member.set_node_id(id);
        member.set_client_address(address);
        member.set_liveness("alive");
    }
    static void add_value(v1::GetResponse& answer, const std::string& bytes, uint64_t sequence) {
        v1::Value& value = *answer.add_values();
        value.set_value(bytes);
        value.mutable_dot()->set_node_id(7);
        value.mutable_dot()->set_start(3);
        value.mutable_dot()->set_random(0xab);
        value.mutable_dot()->set_sequence(sequence);
        value.mutable_time()->set_wall_ms(1'700'000'000'250);
        value.mutable_time()->set_logical(4);
    }
    // Of partitions 0..3, with these keys in partition 2.
    static auto tell(std::vector<std::string> keys) {
        return [keys](auto*, const v1::ListConflictsRequest& request, auto& page) {
            for (uint32_t partition = request.partition(); partition < 4; ++partition) {
                page.add_partitions(partition);
            }
            for (const std::string& key : keys) {
                if (key < request.key()) {
                    continue;
                }
                v1::Conflict& conflict = *page.add_conflicts();
                conflict.set_partition(2);
                conflict.set_key(key);
                conflict.set_siblings(2);
                conflict.set_value_bytes(30);
                conflict.set_latest_ms(1'700'000'000'250);
            }
            page.set_is_last(true);
            return grpc::Status::OK;
        };
    }
    static constexpr const char* first = "0000000000000007.3.00000000000000ab:1";
};

TEST_F(ConflictCommandsTest, AListShowsKeysWithTheirSiblingsAndSaysHowToGoOn) {
    server_.service.on_list_conflicts = tell({"a\tb", "c"});
    EXPECT_EQ(ask({"conflicts", "list"}), exit_ok) << err_;
    EXPECT_EQ(out_,
              "a\\x09b\t2 siblings\t30 bytes\tlatest 2023-11-14 22:13:20.250 UTC\n"
              "c\t2 siblings\t30 bytes\tlatest 2023-11-14 22:13:20.250 UTC\n");
    EXPECT_EQ(err_, "");
    EXPECT_EQ(ask({"conflicts", "list", "--limit", "1"}), exit_ok);
    EXPECT_THAT(out_, Not(HasSubstr("c\t")));
    EXPECT_THAT(err_, HasSubstr("--from 2:63"));
    EXPECT_EQ(ask({"conflicts", "list", "--from", "2:63"}), exit_ok);
    EXPECT_THAT(out_, Not(HasSubstr("a\\x09b")));
    EXPECT_THAT(out_, HasSubstr("c\t"));
}

TEST_F(ConflictCommandsTest, AListInJsonHoldsAnyKeyAndWhereToGoOn) {
    server_.service.on_list_conflicts = tell({"c", "\xff"});
    EXPECT_EQ(ask({"conflicts", "list", "--limit", "1", "--output", "json"}), exit_ok);
    auto json = nlohmann::json::parse(out_);
    EXPECT_EQ(json["conflicts"][0]["key"], "c");
    EXPECT_EQ(json["conflicts"][0]["siblings"], 2);
    EXPECT_EQ(json["conflicts"][0]["partition"], 2);
    EXPECT_EQ(json["next"], "2:ff");
    EXPECT_EQ(json["partitions_missing"], 0);
    EXPECT_EQ(ask({"conflicts", "list", "--from", "2:ff", "--output", "json"}), exit_ok);
    json = nlohmann::json::parse(out_);
    EXPECT_EQ(json["conflicts"][0]["key"], "/w==");
    EXPECT_EQ(json["conflicts"][0]["encoding"], "base64");
    EXPECT_TRUE(json["next"].is_null());
}

TEST_F(ConflictCommandsTest, AListThatMissesPartitionsIsShownAndIsNoSuccess) {
    FakeServer away;
    add_member(8, away.address());
    away.stop();
    server_.service.on_list_conflicts = [](auto*, const auto&, auto& page) {
        page.add_partitions(0);
        page.add_partitions(3);
        page.set_is_last(true);
        return grpc::Status::OK;
    };
    EXPECT_EQ(ask({"conflicts", "list"}), exit_unavailable);
    EXPECT_THAT(err_, HasSubstr("of 2 partitions no holder answered"));
    EXPECT_THAT(err_, HasSubstr(away.address()));
}

TEST_F(ConflictCommandsTest, WhatIsWrongWithAListIsSaidByName) {
    server_.service.on_list_conflicts = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(call, grpc::StatusCode::NOT_FOUND, "unknown_namespace");
    };
    EXPECT_EQ(ask({"conflicts", "list", "--namespace", "nowhere"}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("unknown_namespace"));
    for (const char* from : {"nonsense", "4:", "1:6"}) {
        EXPECT_EQ(ask({"conflicts", "list", "--from", from}), exit_refused) << from;
        EXPECT_THAT(err_, HasSubstr("invalid_request"));
    }
    EXPECT_EQ(ask({"conflicts", "list", "--limit", "0"}), exit_usage);
    EXPECT_EQ(ask({"conflicts", "list", "--limit", "1001"}), exit_usage);
    EXPECT_EQ(ask({"conflicts"}), exit_usage);
}

TEST_F(ConflictCommandsTest, ShowNamesEachSiblingWithItsTimeNodeSizeAndValue) {
    EXPECT_EQ(ask({"conflicts", "show", "k", "--namespace", "carts"}), exit_ok) << err_;
    EXPECT_THAT(out_, HasSubstr("k: 2 siblings\n"));
    EXPECT_THAT(out_, HasSubstr(std::string("  ") + first + "\n"));
    EXPECT_THAT(out_,
                HasSubstr("2023-11-14 22:13:20.250 UTC .4, through 0000000000000007 (" +
                          server_.address() + ")"));
    EXPECT_THAT(out_, HasSubstr("5 bytes"));
    EXPECT_THAT(out_, HasSubstr("value        first\n"));
    EXPECT_THAT(out_, HasSubstr("value        \\x1b[1m\\xff\n"));
    EXPECT_THAT(out_, HasSubstr("context 01ab\n"));
    EXPECT_THAT(err_, HasSubstr("conflicts resolve"));
    EXPECT_EQ(server_.service.gets().at(0).options().namespace_(), "carts");
}

TEST_F(ConflictCommandsTest, ShowInJsonHoldsWholeValuesAndTheirNames) {
    server_.service.on_get = [](auto*, const auto&, v1::GetResponse& answer) {
        add_value(answer, std::string(5000, 'x'), 1);
        return grpc::Status::OK;
    };
    EXPECT_EQ(ask({"conflicts", "show", "k", "--output", "json"}), exit_ok);
    const auto json = nlohmann::json::parse(out_);
    EXPECT_EQ(json["siblings"][0]["name"], first);
    EXPECT_EQ(json["siblings"][0]["bytes"], 5000);
    EXPECT_EQ(json["siblings"][0]["value"].get<std::string>().size(), 5000u);
    EXPECT_EQ(ask({"conflicts", "show", "k"}), exit_ok);
    EXPECT_LT(out_.size(), 2000u);
    EXPECT_THAT(out_, HasSubstr("json: all of it"));
}

TEST_F(ConflictCommandsTest, ShowOfAnAbsentKeyFindsNothing) {
    server_.service.on_get = [](auto*, const auto&, auto&) { return grpc::Status::OK; };
    EXPECT_EQ(ask({"conflicts", "show", "k"}), exit_not_found);
    EXPECT_EQ(out_, "");
}

TEST_F(ConflictCommandsTest, AResolutionPutsThePickedOrTheGivenValueWithTheContextShown) {
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--pick", first}), exit_ok) << err_;
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--value", "merged", "--w", "3"}),
              exit_ok)
        << err_;
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "-v", "-"}, "from\nstdin"), exit_ok);
    EXPECT_EQ(out_ + err_, "");
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 3u);
    for (const v1::PutRequest& put : puts) {
        EXPECT_EQ(put.key(), "k");
        EXPECT_EQ(put.context(), "\x01\xab");
    }
    EXPECT_EQ(puts[0].value(), "first");
    EXPECT_EQ(puts[1].value(), "merged");
    EXPECT_EQ(puts[1].options().quorum(), 3u);
    EXPECT_EQ(puts[2].value(), "from\nstdin");
}

TEST_F(ConflictCommandsTest, APickedValueStillExpiresWhenItWouldHaveAndAGivenOneDoesNot) {
    server_.service.on_get = [](auto*, const auto&, v1::GetResponse& answer) {
        add_value(answer, "first", 1);
        answer.mutable_values(0)->set_expires_ms(1'900'000'000'500);
        add_value(answer, "second", 2);
        return grpc::Status::OK;
    };
    const std::string second = "0000000000000007.3.00000000000000ab:2";
    for (const std::string& version : {std::string(first), second}) {
        EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--pick", version}), exit_ok)
            << err_;
    }
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--value", "merged"}), exit_ok);
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 3u);
    EXPECT_EQ(puts[0].expires_ms(), 1'900'000'000'500u);
    EXPECT_EQ(puts[1].expires_ms(), 0u);
    EXPECT_EQ(puts[2].expires_ms(), 0u);
}

TEST_F(ConflictCommandsTest, AVersionThatIsNotThereOrNoVersionAtAllResolvesNothing) {
    const std::string other = "0000000000000007.3.00000000000000ab:9";
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--pick", other}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("unknown_sibling"));
    EXPECT_THAT(err_, HasSubstr(other));
    for (const std::string bad : {"1", "7.3.ab", "7.3.ab:", "7.3.ab:x", ":", "7.3.ab:1 "}) {
        EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--pick", bad}), exit_refused);
        EXPECT_THAT(err_, HasSubstr("invalid_request")) << bad;
    }
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "xy", "--pick", first}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("malformed_context"));
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(ConflictCommandsTest, AResolutionNeedsAContextAndOneOfPickAndValue) {
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "--value", "v"}), exit_usage);
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01"}), exit_usage);
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01", "--pick", first, "--value", "v"}),
              exit_usage);
    EXPECT_EQ(ask({"conflicts", "resolve"}), exit_usage);
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(ConflictCommandsTest, AContextThatHasSeenNothingResolvesNothing) {
    for (const std::vector<std::string>& by :
         {std::vector<std::string>{"--value", "v"}, {"--pick", first}}) {
        std::vector<std::string> words = {"conflicts", "resolve", "k", "-c", ""};
        words.insert(words.end(), by.begin(), by.end());
        EXPECT_EQ(ask(words), exit_refused);
        EXPECT_THAT(err_, HasSubstr("context: empty"));
        EXPECT_THAT(err_, HasSubstr("malformed_context"));
    }
    EXPECT_TRUE(server_.service.puts().empty());
    EXPECT_TRUE(server_.service.gets().empty());
}

TEST_F(ConflictCommandsTest, AValueThatCannotBeReadResolvesNothing) {
    BreakingBuffer buffer("half");
    std::istream in(&buffer);
    EXPECT_EQ(ask_from(in, {"conflicts", "resolve", "k", "-c", "01ab", "-v", "-"}), exit_no_input);
    EXPECT_THAT(err_, HasSubstr("standard input cannot be read"));
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(ConflictCommandsTest, ARefusedResolutionTellsWhy) {
    server_.service.on_put = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(call, grpc::StatusCode::ABORTED, "stale_context");
    };
    EXPECT_EQ(ask({"conflicts", "resolve", "k", "-c", "01ab", "--value", "v"}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("stale_context"));
}

}  // namespace
}  // namespace starling::client
