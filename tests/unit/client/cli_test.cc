#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "client/cli/dev_folder.h"
#include "client/cli/dev_process.h"
#include "client/cli/exit_codes.h"
#include "client/cli/session.h"
#include "client/cli/show.h"
#include "client/error.h"
#include "tests/unit/client/cli_fixture.h"

namespace starling::client {
namespace {

using testing::HasSubstr;

TEST_F(CliTest, ASessionGoesOnFromOneCommandToTheNext) {
    server_.service.on_put = [](auto*, const auto&, v1::WriteResponse& answer) {
        answer.set_session(std::string("\0put", 4));
        return grpc::Status::OK;
    };
    server_.service.on_get = [](auto*, const auto&, v1::GetResponse& answer) {
        answer.add_values()->set_value("v");
        answer.set_session("get");
        return grpc::Status::OK;
    };
    const std::string file = folder_ + "/my session";
    EXPECT_EQ(ask({"put", "k", "v", "--session", file}), exit_ok) << err_;
    EXPECT_EQ(ask({"get", "k", "--session", file}), exit_ok) << err_;
    EXPECT_EQ(ask({"delete", "k", "--session", file}), exit_ok) << err_;
    EXPECT_EQ(ask({"get", "k"}), exit_ok) << err_;
    EXPECT_EQ(server_.service.puts()[0].session(), "");
    EXPECT_EQ(server_.service.gets()[0].session(), std::string("\0put", 4));
    EXPECT_EQ(server_.service.deletes()[0].session(), "get");
    EXPECT_FALSE(server_.service.gets()[1].has_session());
}

TEST_F(CliTest, AFileThatIsNoSessionIsRefusedAndKept) {
    const std::string file = folder_ + "/notes";
    std::ofstream(file) << "something else\n";
    EXPECT_NE(ask({"get", "k", "--session", file}), exit_ok);
    EXPECT_THAT(err_, HasSubstr("line 1"));
    EXPECT_TRUE(server_.service.gets().empty());
    std::stringstream content;
    content << std::ifstream(file).rdbuf();
    EXPECT_EQ(content.str(), "something else\n");
}

TEST_F(CliTest, APutIsSilentAndTakesItsOperandsBothWays) {
    EXPECT_EQ(ask({"put", "k", "v"}), exit_ok);
    EXPECT_EQ(out_ + err_, "");
    EXPECT_EQ(ask({"put", "-k", "k", "-v", "v"}), exit_ok);
    EXPECT_EQ(ask({"put", "--key", "k", "--value", "v"}), exit_ok);
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 3u);
    for (const v1::PutRequest& put : puts) {
        EXPECT_EQ(put.key(), "k");
        EXPECT_EQ(put.value(), "v");
        EXPECT_FALSE(put.has_context());
    }
}

TEST_F(CliTest, AValueMayComeFromStandardInputWithAnyBytes) {
    const std::string bytes("\0\n\xff-", 4);
    EXPECT_EQ(ask({"put", "k", "-"}, bytes), exit_ok);
    ASSERT_EQ(server_.service.puts().size(), 1u);
    EXPECT_EQ(server_.service.puts()[0].value(), bytes);
}

TEST_F(CliTest, AValueThatCannotBeReadToItsEndIsNotWritten) {
    for (const char* text : {"", "half a value"}) {
        BreakingBuffer buffer(text);
        std::istream in(&buffer);
        EXPECT_EQ(ask_from(in, {"put", "k", "-"}), exit_no_input);
        EXPECT_EQ(err_,
                  "starling: standard input cannot be read: Input/output error "
                  "[input_unreadable]\n");
    }
    std::ifstream directory(folder_);
    EXPECT_EQ(ask_from(directory, {"put", "k", "-"}), exit_no_input);
    EXPECT_THAT(err_, HasSubstr("Is a directory"));
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(CliTest, AValueMayBeEmptyOrLookLikeJson) {
    EXPECT_EQ(ask({"put", "k", ""}), exit_ok);
    EXPECT_EQ(ask({"put", "k", "{\"sku\":1}"}), exit_ok);
    EXPECT_EQ(ask({"put", "k", "[1,2]"}), exit_ok);
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 3u);
    EXPECT_EQ(puts[0].value(), "");
    EXPECT_EQ(puts[1].value(), "{\"sku\":1}");
    EXPECT_EQ(puts[2].value(), "[1,2]");
}

TEST_F(CliTest, OptionsReachTheRequest) {
    EXPECT_EQ(ask({"put",
                   "k",
                   "v",
                   "-c",
                   "01aB",
                   "--namespace",
                   "carts",
                   "--w",
                   "2",
                   "--request-timeout",
                   "700ms"}),
              exit_ok);
    EXPECT_EQ(ask({"delete", "k", "--blind", "--explain"}), exit_ok);
    EXPECT_EQ(ask({"get", "k", "--consistency", "one"}), exit_ok + exit_not_found);
    const v1::PutRequest put = server_.service.puts().at(0);
    EXPECT_EQ(put.context(), "\x01\xab");
    EXPECT_EQ(put.options().namespace_(), "carts");
    EXPECT_EQ(put.options().quorum(), 2u);
    EXPECT_LT(put.options().deadline_ms(), 700u);
    EXPECT_TRUE(server_.service.deletes().at(0).blind());
    EXPECT_TRUE(server_.service.deletes().at(0).options().explain());
    EXPECT_EQ(server_.service.gets().at(0).options().quorum(), 1u);
}

TEST_F(CliTest, APutMayExpireAfterATimeOrAtOne) {
    EXPECT_EQ(ask({"put", "k", "v", "--ttl", "30s"}), exit_ok) << err_;
    EXPECT_EQ(ask({"put", "k", "v", "--ttl", "7d"}), exit_ok) << err_;
    EXPECT_EQ(ask({"put", "k", "v", "--expires", "2033-05-18T05:33:20+02:00"}), exit_ok) << err_;
    EXPECT_EQ(ask({"put", "k", "v", "--expires", "2000000000123"}), exit_ok) << err_;
    EXPECT_EQ(ask({"put", "k", "v"}), exit_ok) << err_;
    const auto puts = server_.service.puts();
    ASSERT_EQ(puts.size(), 5u);
    EXPECT_EQ(puts[0].expires_ms(), puts[0].request_id().created_ms() + 30'000);
    EXPECT_EQ(puts[1].expires_ms(), puts[1].request_id().created_ms() + 7 * 86'400'000ull);
    EXPECT_EQ(puts[2].expires_ms(), 2'000'000'000'000u);
    EXPECT_EQ(puts[3].expires_ms(), 2'000'000'000'123u);
    EXPECT_EQ(puts[4].expires_ms(), 0u);
}

TEST_F(CliTest, AnExpiryThatCannotBeIsAMistake) {
    for (const std::vector<std::string>& words : {std::vector<std::string>{"--ttl", "0s"},
                                                  {"--ttl", "-5s"},
                                                  {"--ttl", "5 parsecs"},
                                                  {"--ttl", "40000d"},
                                                  {"--ttl", "9223372036854775807d"},
                                                  {"--ttl", "99999999999999999999s"},
                                                  {"--expires", "tomorrow"},
                                                  {"--expires", "0"},
                                                  {"--expires", "1960-01-01T00:00:00Z"},
                                                  {"--ttl", "5s", "--expires", "2000000000123"}}) {
        std::vector<std::string> all = {"put", "k", "v"};
        all.insert(all.end(), words.begin(), words.end());
        EXPECT_EQ(ask(all), exit_usage) << words[1];
        EXPECT_EQ(out_, "");
    }
    EXPECT_EQ(ask({"delete", "k", "--ttl", "5s"}), exit_usage);
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(CliTest, AGetSaysWhenItsValueExpires) {
    server_.service.on_get = [](auto*, const auto&, v1::GetResponse& answer) {
        answer.add_values()->set_value("v");
        answer.mutable_values(0)->set_expires_ms(2'000'000'000'000);
        return grpc::Status::OK;
    };
    EXPECT_EQ(ask({"get", "k", "--explain"}), exit_ok);
    EXPECT_EQ(out_, "v\n");
    EXPECT_THAT(err_, HasSubstr("expires      2033-05-18 03:33:20.000 UTC"));
    EXPECT_EQ(ask({"get", "k", "--output", "json"}), exit_ok);
    EXPECT_EQ(nlohmann::json::parse(out_)["values"][0]["expires_ms"], 2'000'000'000'000u);
    answer_with({"v"});
    EXPECT_EQ(ask({"get", "k", "--explain"}), exit_ok);
    EXPECT_THAT(err_, testing::Not(HasSubstr("expires")));
}

TEST_F(CliTest, APutOfABatchMayExpire) {
    // Answers come one at a time, on the stream's thread.
    std::vector<v1::PutRequest> puts;
    server_.service.on_operation = [&puts](const v1::BatchOperation& operation) {
        puts.push_back(operation.put());
        return FakeService::done(operation);
    };
    EXPECT_EQ(ask({"batch", "-"},
                  "{\"put\": \"k\", \"value\": \"v\", \"ttl\": \"30s\"}\n"
                  "{\"put\": \"k\", \"value\": \"v\"}\n"),
              exit_ok)
        << err_;
    ASSERT_EQ(puts.size(), 2u);
    EXPECT_EQ(puts[0].expires_ms(), puts[0].request_id().created_ms() + 30'000);
    EXPECT_EQ(puts[1].expires_ms(), 0u);
    EXPECT_EQ(ask({"batch", "-"}, "{\"put\": \"k\", \"value\": \"v\", \"ttl\": \"soon\"}\n"),
              exit_refused);
    EXPECT_THAT(err_, HasSubstr("invalid_expiry"));
    EXPECT_EQ(ask({"batch", "-"}, "{\"get\": \"k\", \"ttl\": \"1s\"}\n"), exit_refused);
}

TEST_F(CliTest, AGetPrintsTheValueAndANewline) {
    answer_with({"v"});
    EXPECT_EQ(ask({"get", "k"}), exit_ok);
    EXPECT_EQ(out_, "v\n");
    EXPECT_EQ(ask({"get", "-k", "k", "--output", "raw"}), exit_ok);
    EXPECT_EQ(out_, "v");
}

TEST_F(CliTest, SiblingsArePrintedOnePerLineWithAHint) {
    answer_with({"a", "b"});
    EXPECT_EQ(ask({"get", "k"}), exit_ok);
    EXPECT_EQ(out_, "a\nb\n");
    EXPECT_THAT(err_, HasSubstr("2 siblings"));
    EXPECT_THAT(err_, HasSubstr("-c 01ab"));
}

TEST_F(CliTest, JsonHoldsAnyBytes) {
    answer_with({"text", std::string("\xff\x00", 2)});
    EXPECT_EQ(ask({"get", "k", "--output", "json"}), exit_ok);
    const auto json = nlohmann::json::parse(out_);
    EXPECT_EQ(json["values"][0]["value"], "text");
    EXPECT_EQ(json["values"][0]["encoding"], "utf8");
    EXPECT_EQ(json["values"][1]["value"], "/wA=");
    EXPECT_EQ(json["values"][1]["encoding"], "base64");
    EXPECT_EQ(json["context"], "01ab");
    EXPECT_EQ(ask({"put", "k", "v", "--output", "json"}), exit_ok);
    EXPECT_EQ(nlohmann::json::parse(out_)["message"], "Ok");
}

TEST_F(CliTest, AnAbsentKeyIsNotFound) {
    EXPECT_EQ(ask({"get", "k"}), exit_not_found);
    EXPECT_EQ(out_, "");
    EXPECT_THAT(err_, HasSubstr("Key not found"));
    EXPECT_EQ(ask({"rm", "k"}), exit_ok);
    EXPECT_EQ(ask({"del", "-k", "k"}), exit_ok);
    EXPECT_EQ(server_.service.deletes().size(), 2u);
}

TEST_F(CliTest, EachRefusalHasItsExitCodeAndOneLine) {
    const auto put_refused_with = [this](
                                      grpc::StatusCode code, std::string_view why, bool unknown) {
        server_.service.on_put = [=](grpc::ServerContext* call, const auto&, auto&) {
            return refuse(call, code, std::string(why), unknown, "because");
        };
        const int exit_code = ask({"--request-timeout", "300ms", "put", "k", "v"});
        EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1);
        EXPECT_THAT(err_, HasSubstr("because"));
        return exit_code;
    };
    using grpc::StatusCode;
    namespace reason = base::reason;
    EXPECT_EQ(put_refused_with(StatusCode::UNAVAILABLE, reason::quorum_not_reached, true),
              exit_quorum_missed);
    EXPECT_THAT(err_, HasSubstr("outcome unknown"));
    EXPECT_EQ(put_refused_with(StatusCode::INVALID_ARGUMENT, reason::key_empty, false),
              exit_refused);
    EXPECT_EQ(put_refused_with(StatusCode::NOT_FOUND, reason::unknown_namespace, false),
              exit_refused);
    EXPECT_EQ(put_refused_with(StatusCode::RESOURCE_EXHAUSTED, reason::overloaded, false),
              exit_try_later);
    EXPECT_EQ(put_refused_with(StatusCode::RESOURCE_EXHAUSTED, reason::disk_full, false),
              exit_try_later);
    EXPECT_EQ(put_refused_with(StatusCode::RESOURCE_EXHAUSTED, reason::too_many_siblings, false),
              exit_refused);
    EXPECT_EQ(put_refused_with(StatusCode::UNAVAILABLE, reason::no_owner, false), exit_unavailable);
}

TEST_F(CliTest, ATimeThatIsGivenIsUsedUpAndElseTheTriesAreFew) {
    std::atomic<int> refusals = 0;
    server_.service.on_put = [&refusals](grpc::ServerContext* call, const auto&, auto&) {
        return refusals-- > 0 ? refuse(call, grpc::StatusCode::UNAVAILABLE, "no_owner")
                              : grpc::Status::OK;
    };
    refusals = 5;
    EXPECT_EQ(ask({"put", "k", "v"}), exit_unavailable);
    EXPECT_EQ(server_.service.puts().size(), 4u);
    refusals = 5;
    EXPECT_EQ(ask({"put", "k", "v", "--request-timeout", "1m"}), exit_ok) << err_;
    EXPECT_EQ(server_.service.puts().size(), 10u);
}

TEST_F(CliTest, ATryMayTakeAThirdOfALongTimeThatIsGiven) {
    const auto try_ms = [this](std::vector<std::string> words) {
        EXPECT_EQ(ask(std::move(words)), exit_ok) << err_;
        return server_.service.puts().back().options().deadline_ms();
    };
    // Nodes are told nine tenths.
    EXPECT_EQ(try_ms({"put", "k", "v"}), 2250u);
    EXPECT_EQ(try_ms({"put", "k", "v", "--request-timeout", "4s"}), 2250u);
    EXPECT_EQ(try_ms({"put", "k", "v", "--request-timeout", "30s"}), 9000u);
}

TEST_F(CliTest, WhereNothingListensItIsUnavailable) {
    server_.stop();
    EXPECT_EQ(ask({"--request-timeout", "500ms", "put", "k", "v"}), exit_unavailable);
    EXPECT_THAT(err_, HasSubstr(server_.address()));
    EXPECT_EQ(ask({"--request-timeout", "500ms", "ping"}), exit_unavailable);
}

TEST_F(CliTest, MistakesOnTheCommandLineAreUsageErrors) {
    const std::vector<std::vector<std::string>> mistakes = {
        {},
        {"frobnicate"},
        {"get"},
        {"put", "k"},
        {"get", "k", "extra"},
        {"get", "k", "--unknown"},
        {"get", "k", "--output", "xml"},
        {"get", "k", "--r", "0"},
        {"get", "k", "--consistency", "some"},
        {"get", "k", "--consistency", "all", "--r", "2"},
        {"get", "k", "--request-timeout", "soon"},
        {"get", "k", "--request-timeout", "0"},
        {"get", "k", "--addr", "nonsense"},
        {"conflicts", "list", "--addr", "nonsense"},
        {"conflicts", "show", "k", "--addr", "nonsense"},
        {"conflicts", "resolve", "k", "-c", "01", "--value", "v", "--addr", "nonsense"},
        {"get", "k", "-p", "65536"},
        {"get", "k", "-p", "4000", "--addr", "127.0.0.1:4000"},
        {"put", "k", "v", "-c", "00", "--blind"},
        {"namespace"},
        {"join-cluster", "-p", "4002"},
        {"join-cluster", "--known-cluster-node", "127.0.0.1:4001"},
        {"dev"},
        {"dev", "kill"},
        {"dev", "up", "0"},
        {"dev", "up", "99"},
    };
    for (const auto& words : mistakes) {
        EXPECT_EQ(run(words), exit_usage) << testing::PrintToString(words) << err_;
        EXPECT_EQ(out_, "");
        EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
    }
}

TEST_F(CliTest, AContextThatIsNotHexadecimalIsRefusedBeforeAnythingIsSent) {
    EXPECT_EQ(ask({"put", "k", "v", "-c", "xyz"}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("malformed_context"));
    EXPECT_TRUE(server_.service.puts().empty());
}

TEST_F(CliTest, VersionAndHelpAreNoErrors) {
    EXPECT_EQ(run({"--version"}), exit_ok);
    EXPECT_THAT(out_, HasSubstr("starling 0."));
    EXPECT_EQ(run({"-V"}), exit_ok);
    EXPECT_EQ(run({"--help"}), exit_ok);
    EXPECT_THAT(out_, HasSubstr("join-cluster"));
}

TEST_F(CliTest, PingAnswersPong) {
    EXPECT_EQ(ask({"ping"}), exit_ok);
    EXPECT_EQ(out_, "PONG\n");
}

TEST_F(CliTest, StatusAddsUpWhatTheNodesSay) {
    server_.service.status_answer.set_node_id(7);
    server_.service.status_answer.set_hints(3);
    server_.service.status_answer.set_groups_dirty(2);
    server_.service.status_answer.set_damage("block 3");
    server_.service.status_answer.add_warnings("the data is damaged: block 3");
    v1::Member& own = *server_.service.status_answer.add_members();
    own.set_node_id(7);
    own.set_liveness("alive");
    v1::Member& dead = *server_.service.status_answer.add_members();
    dead.set_node_id(8);
    dead.set_liveness("dead");
    EXPECT_EQ(ask({"status"}), exit_ok);
    EXPECT_THAT(out_, HasSubstr("hints 3, dirty ranges 2, seats filling 0; 1 nodes do not answer"));
    EXPECT_THAT(out_, HasSubstr("warning of 0000000000000007: the data is damaged: block 3"));
    EXPECT_EQ(ask({"status", "--output", "json"}), exit_ok);
    const auto json = nlohmann::json::parse(out_);
    EXPECT_EQ(json["hints"], 3);
    EXPECT_EQ(json["nodes_silent"], 1);
    EXPECT_EQ(json["nodes"][0]["damage"], "block 3");
}

TEST_F(CliTest, StatusNamesTheNodesThatTombstonesWaitFor) {
    v1::StatusResponse& status = server_.service.status_answer;
    status.set_node_id(7);
    status.add_members()->set_node_id(7);
    EXPECT_EQ(ask({"status"}), exit_ok);
    EXPECT_THAT(out_, testing::Not(HasSubstr("tombstones waiting")));

    v1::TombstonesWaiting& away = *status.add_tombstones_waiting();
    away.set_node_id(8);
    away.set_client_address("127.0.0.1:4003");
    away.set_tombstones(1520);
    away.set_waiting_ms(7 * 86'400'000 + 1);
    v1::TombstonesWaiting& unknown = *status.add_tombstones_waiting();
    unknown.set_node_id(9);
    unknown.set_tombstones(3);
    unknown.set_waiting_ms(96'000);
    EXPECT_EQ(ask({"status"}), exit_ok);
    EXPECT_THAT(out_,
                HasSubstr("tombstones waiting for 0000000000000008 (127.0.0.1:4003): 1520 on 1 "
                          "nodes, the oldest for 7d\n"
                          "tombstones waiting for 0000000000000009: 3 on 1 nodes, the oldest for "
                          "96s\n"));

    EXPECT_EQ(ask({"status", "--output", "json"}), exit_ok);
    const auto json = nlohmann::json::parse(out_);
    const nlohmann::json told = {{{"node_id", "0000000000000008"},
                                  {"client_address", "127.0.0.1:4003"},
                                  {"tombstones", 1520},
                                  {"waiting_ms", 7 * 86'400'000 + 1}},
                                 {{"node_id", "0000000000000009"},
                                  {"client_address", ""},
                                  {"tombstones", 3},
                                  {"waiting_ms", 96'000}}};
    EXPECT_EQ(json["tombstones_waiting"], told);
    EXPECT_EQ(json["nodes"][0]["tombstones_waiting"], told);
}

TEST(SpanTextTest, ASpanOfTimeIsShownInTheLargestUnitOfWhichThereAreTwo) {
    EXPECT_EQ(span_text(0), "0s");
    EXPECT_EQ(span_text(119'999), "119s");
    EXPECT_EQ(span_text(120'000), "2m");
    EXPECT_EQ(span_text(2 * 3'600'000 - 1), "119m");
    EXPECT_EQ(span_text(2 * 3'600'000), "2h");
    EXPECT_EQ(span_text(2 * 86'400'000), "2d");
}

TEST_F(CliTest, DevCommandsWithoutAClusterSayHowToMakeOne) {
    for (const char* command : {"kill", "revive"}) {
        EXPECT_EQ(run({"dev", command, "1"}), exit_refused);
        EXPECT_THAT(err_, HasSubstr("starling dev up"));
    }
    EXPECT_EQ(run({"dev", "down"}), exit_refused);
    EXPECT_EQ(run({"dev", "status"}), exit_refused);
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/starling-dev"));
}

TEST_F(CliTest, CommandsUseTheNodesOfTheFoldersDevCluster) {
    std::filesystem::create_directory(folder_ + "/starling-dev");
    const int port = std::stoi(server_.address().substr(server_.address().rfind(':') + 1));
    std::ofstream(folder_ + "/starling-dev/cluster.json")
        << "{\"base_port\": " << port - 2 << ", \"node_count\": 2}";
    EXPECT_EQ(run({"put", "k", "v"}), exit_ok) << err_;
    EXPECT_EQ(server_.service.puts().size(), 1u);
    EXPECT_EQ(run({"dev", "status"}), exit_ok);
    EXPECT_THAT(out_, HasSubstr("node 2  " + server_.address() + "  does not run"));
}

TEST_F(CliTest, ADamagedDescriptionOfADevClusterIsNamedAndNoOtherClusterIsAsked) {
    std::filesystem::create_directory(folder_ + "/starling-dev");
    const std::string file = "starling-dev/cluster.json";
    for (const char* text : {"",
                             "{\"base_port\": 50",
                             "[]",
                             R"({"base_port": 5000})",
                             R"({"base_port": 5000, "node_count": 0})",
                             R"({"base_port": 4294967296, "node_count": 1})"}) {
        std::ofstream(folder_ + "/" + file) << text;
        for (const std::vector<std::string>& words :
             {std::vector<std::string>{"put", "k", "v"},
              {"status"},
              {"verify"},
              {"conflicts", "list"},
              {"conflicts", "resolve", "k", "-c", "01", "--value", "v"}}) {
            EXPECT_EQ(run(words), exit_usage) << words[0];
            EXPECT_THAT(err_, HasSubstr(file + ": not as `starling dev up` wrote it")) << words[0];
        }
        EXPECT_NE(run({"dev", "status"}), exit_ok);
        EXPECT_THAT(err_, HasSubstr(file));
    }
    EXPECT_EQ(ask({"put", "k", "v"}), exit_ok) << err_;
}

TEST_F(CliTest, AProcessCountsAsANodeOnlyWithTheNodesConfiguration) {
    EXPECT_FALSE(runs_as_node(::getpid(), "/nowhere/config.toml"));
    std::filesystem::create_directories(folder_ + "/starling-dev/node_1");
    std::ofstream(folder_ + "/starling-dev/cluster.json") << R"({"base_port":5000,"node_count":1})";
    std::ofstream(folder_ + "/starling-dev/node_1/pid") << ::getpid();
    EXPECT_EQ(run({"dev", "kill", "1"}), exit_refused);
    EXPECT_THAT(err_, HasSubstr("node 1 does not run"));
}

TEST_F(CliTest, ABatchSendsEachLineAndShowsWhatIsRead) {
    server_.service.on_operation = [](const v1::BatchOperation& operation) {
        v1::BatchResult result = FakeService::done(operation);
        if (operation.has_get()) {
            result.mutable_get()->add_values()->set_value("found");
        }
        return result;
    };
    const std::string lines =
        "put a  two words\n\nget b\ndelete c\n{\"put\": \"d e\", \"value\": \"x\"}\n";
    EXPECT_EQ(ask({"batch", "-", "--w", "2"}, lines), 0) << err_;
    EXPECT_EQ(out_, "b\tfound\n");
    EXPECT_EQ(err_, "");
    const auto operations = server_.service.operations();
    ASSERT_EQ(operations.size(), 4u);
    EXPECT_EQ(operations[0].put().key(), "a");
    EXPECT_EQ(operations[0].put().value(), " two words");
    EXPECT_EQ(operations[0].put().options().quorum(), 2u);
    EXPECT_EQ(operations[1].get().key(), "b");
    EXPECT_EQ(operations[2].delete_().key(), "c");
    EXPECT_EQ(operations[3].put().key(), "d e");
}

TEST_F(CliTest, ABatchFromAFileAnswersInJsonWithTheLine) {
    std::ofstream(folder_ + "/lines") << "\nput key value\n";
    EXPECT_EQ(ask({"batch", folder_ + "/lines", "--output", "json"}), 0) << err_;
    EXPECT_EQ(out_, "{\"line\":2,\"put\":\"key\"}\n");
    EXPECT_EQ(ask({"batch", folder_ + "/nowhere"}), exit_usage);
    EXPECT_THAT(err_, HasSubstr("nowhere"));
}

TEST_F(CliTest, AMistakeInABatchNamesItsLineAndTheOthersGoOn) {
    const std::vector<std::string> mistakes = {"frob a b",
                                               "put",
                                               "put a",
                                               "get ",
                                               "{\"put\": \"a\"}",
                                               "{\"put\": 7, \"value\": \"x\"}",
                                               "{\"put\": \"a\", \"get\": \"b\"}",
                                               "{broken"};
    for (const std::string& mistake : mistakes) {
        EXPECT_EQ(ask({"batch", "-"}, "get good\n" + mistake + "\nput good value\n"), exit_refused)
            << mistake;
        EXPECT_THAT(err_, HasSubstr("line 2: ")) << mistake;
    }
    EXPECT_EQ(server_.service.operations().size(), 2 * mistakes.size());
    EXPECT_EQ(ask({"batch", "-"}, "put k " + std::string(65u << 20, 'v') + "\nget k"),
              exit_refused);
    EXPECT_THAT(err_, HasSubstr("line 1: more than"));
    EXPECT_THAT(err_, HasSubstr("request_too_large"));
}

TEST_F(CliTest, AnErrorOfABatchGivesItsExitCode) {
    server_.service.on_operation = [](const v1::BatchOperation& operation) {
        v1::BatchResult result = FakeService::done(operation);
        if (operation.has_put()) {
            result.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
            result.mutable_error()->set_reason("key_too_large");
            result.mutable_error()->set_message("the key is too large");
        }
        return result;
    };
    EXPECT_EQ(ask({"batch", "-"}, "get a\nput b c\n"), exit_refused);
    EXPECT_THAT(err_, HasSubstr("line 2: the key is too large [key_too_large]"));
}

TEST_F(CliTest, AnErrorOfABatchInJsonIsAnObjectWithItsLine) {
    server_.service.on_operation = [](const v1::BatchOperation& operation) {
        v1::BatchResult result = FakeService::done(operation);
        if (operation.has_put()) {
            result.mutable_error()->set_code(grpc::StatusCode::FAILED_PRECONDITION);
            result.mutable_error()->set_reason("request_too_old");
            result.mutable_error()->set_message("too old");
            result.mutable_error()->set_outcome_unknown(true);
        }
        return result;
    };
    EXPECT_EQ(ask({"batch", "-", "--output", "json"}, "frob\nput b c\n"), exit_refused);
    std::map<int, nlohmann::json> errors;
    std::istringstream lines(out_);
    for (std::string line; std::getline(lines, line);) {
        const auto json = nlohmann::json::parse(line);
        errors[json["line"]] = json["error"];
    }
    EXPECT_EQ(errors,
              (std::map<int, nlohmann::json>{{1,
                                              {{"code", "INVALID_ARGUMENT"},
                                               {"reason", "invalid_request"},
                                               {"message", "'frob' is none of put, get and delete"},
                                               {"outcome_unknown", false}}},
                                             {2,
                                              {{"code", "FAILED_PRECONDITION"},
                                               {"reason", "request_too_old"},
                                               {"message", "too old"},
                                               {"outcome_unknown", true}}}}));
    EXPECT_THAT(err_, HasSubstr("line 2: too old [request_too_old]"));
    EXPECT_EQ(ask({"batch", "-"}, "put b c\n"), exit_quorum_missed);
    EXPECT_EQ(out_, "");
}

TEST_F(CliTest, ABatchWhoseInputBreaksOffFinishesWhatItHasReadAndSaysFromWhichLineOn) {
    BreakingBuffer buffer("put a 1\n\nput b 2\nput c hal");
    std::istream in(&buffer);
    EXPECT_EQ(ask_from(in, {"batch", "-"}), exit_no_input);
    EXPECT_EQ(err_,
              "starling: line 4: from here on nothing was read: standard input cannot be read: "
              "Input/output error [input_unreadable]\n");
    const auto operations = server_.service.operations();
    ASSERT_EQ(operations.size(), 2u);
    EXPECT_EQ(operations[0].put().key(), "a");
    EXPECT_EQ(operations[1].put().key(), "b");
    EXPECT_EQ(ask({"batch", folder_, "--output", "json"}), exit_no_input);
    EXPECT_THAT(err_, HasSubstr("line 1: "));
    EXPECT_THAT(err_, HasSubstr(folder_ + " cannot be read: Is a directory"));
    EXPECT_EQ(nlohmann::json::parse(out_)["error"]["reason"], "input_unreadable");
}

// A line, then nothing until told, then the end.
class WaitingBuffer final : public std::streambuf {
  public:
    explicit WaitingBuffer(std::string line) : line_(std::move(line)) {}
    void end() { ended_.Notify(); }
    bool has_waited_in_vain() const { return has_waited_in_vain_; }

  protected:
    int_type underflow() override {
        if (eback() == nullptr) {
            setg(line_.data(), line_.data(), line_.data() + line_.size());
            return traits_type::to_int_type(line_.front());
        }
        has_waited_in_vain_ = !ended_.WaitForNotificationWithTimeout(absl::Seconds(20));
        return traits_type::eof();
    }

  private:
    std::string line_;
    absl::Notification ended_;
    bool has_waited_in_vain_ = false;
};

class FlushedBuffer final : public std::stringbuf {
  public:
    explicit FlushedBuffer(std::function<void(const std::string&)> on_flush)
        : on_flush_(std::move(on_flush)) {}

  protected:
    int sync() override {
        on_flush_(str());
        return 0;
    }

  private:
    std::function<void(const std::string&)> on_flush_;
};

TEST_F(CliTest, ABatchShowsItsAnswersBeforeItsInputEnds) {
    server_.service.on_operation = [](const v1::BatchOperation& operation) {
        v1::BatchResult result = FakeService::done(operation);
        result.mutable_get()->add_values()->set_value("found");
        return result;
    };
    WaitingBuffer input("get b\n");
    FlushedBuffer output([&input](const std::string& shown) {
        if (shown == "b\tfound\n") {
            input.end();
        }
    });
    std::istream in(&input);
    std::ostream out(&output);
    std::ostringstream err;
    Terminal terminal{.in = in,
                      .out = out,
                      .err = err,
                      .variable = [](const char*) { return ""; },
                      .working_directory = folder_,
                      .executable = ""};
    EXPECT_EQ(run_starling({"--addr", server_.address(), "batch", "-"}, terminal), exit_ok);
    EXPECT_EQ(err.str(), "");
    EXPECT_FALSE(input.has_waited_in_vain());
}

TEST_F(CliTest, VerifySaysHowMuchOfWhatItFoundIsNotListed) {
    FakeServer second;
    v1::Namespace& space = *server_.service.namespaces_answer.add_namespaces();
    space.set_name("default");
    space.set_replicas(3);
    for (uint32_t number = 0; number < 1002; ++number) {
        v1::RingPartition& partition = *server_.service.ring_answer.add_partitions();
        partition.set_partition(number);
        for (const uint64_t holder : {1u, 2u, 0u}) {
            partition.add_holders(holder);
        }
    }
    const auto add_node = [&](uint64_t id, FakeServer& node) {
        v1::Member& member = *server_.service.status_answer.add_members();
        member.set_node_id(id);
        member.set_client_address(node.address());
        node.service.on_inspect = [id](auto*, const auto& asked, auto& answer) {
            const auto tell = [&](const std::string& key) {
                answer.add_keys()->set_key(key);
                answer.mutable_keys(answer.keys_size() - 1)->set_digest(id);
            };
            for (const auto& key : asked.keys()) {
                tell(key.key());
            }
            for (int key = 1000; key < 2003 && !asked.buckets().empty(); ++key) {
                tell(std::string(8, '\0') + std::to_string(key));
            }
            answer.add_buckets(asked.partition() == 0 ? id : 0);
            return grpc::Status::OK;
        };
    };
    add_node(1, server_);
    add_node(2, second);
    EXPECT_EQ(ask({"verify", "--settle", "1ms"}), 1) << err_;
    EXPECT_THAT(out_, HasSubstr("the first 1000 of 1003 keys that differ are listed\n"));
    EXPECT_THAT(out_, HasSubstr("not checked: and 2 more\n"));
    EXPECT_EQ(ask({"verify", "--settle", "1ms", "--output", "json"}), 1) << err_;
    const auto told = nlohmann::json::parse(out_);
    EXPECT_EQ(told["difference_count"], 1003);
    EXPECT_EQ(told["differences"].size(), 1000u);
    EXPECT_EQ(told["unchecked_count"], 1002);
    EXPECT_EQ(told["unchecked"].size(), 1000u);
}

TEST_F(CliTest, VerifyTellsAReplicaThatLacksWritesFromAnIdenticalOne) {
    FakeServer second;
    v1::Namespace& space = *server_.service.namespaces_answer.add_namespaces();
    space.set_name("default");
    space.set_replicas(2);
    v1::RingPartition& partition = *server_.service.ring_answer.add_partitions();
    partition.set_partition(7);
    const auto add_node = [&](uint64_t id, FakeServer& node, const std::string& frontier) {
        v1::Member& member = *server_.service.status_answer.add_members();
        member.set_node_id(id);
        member.set_client_address(node.address());
        partition.add_holders(id);
        node.service.on_inspect = [frontier](auto*, const auto& asked, auto& answer) {
            answer.set_frontier(frontier);
            for (const std::string& other : asked.frontiers()) {
                answer.add_has_seen(other <= frontier);
            }
            return grpc::Status::OK;
        };
    };
    add_node(1, server_, "2");
    add_node(2, second, "1");
    EXPECT_EQ(ask({"verify", "--settle", "1ms"}), 1) << err_;
    EXPECT_EQ(ask({"verify", "--settle", "1ms", "--read-all"}), 1) << err_;
    EXPECT_THAT(out_,
                HasSubstr("partition 7, N = 2: 0000000000000002 (" + second.address() +
                          ") lacks writes that 0000000000000001 (" + server_.address() + ") has"));
    EXPECT_THAT(out_, HasSubstr("1 replicas lack writes that others have as of"));
    EXPECT_EQ(ask({"verify", "--settle", "1ms", "--output", "json"}), 1) << err_;
    const auto told = nlohmann::json::parse(out_);
    EXPECT_EQ(told["result"], "different");
    EXPECT_EQ(told["replicas_behind"][0]["node_id"], "0000000000000002");
    EXPECT_EQ(told["replicas_behind"][0]["lacks_writes_of"][0], "0000000000000001");
}

TEST_F(CliTest, ANodeThatLeavesAQuestionWithoutAnswerIsAskedAgain) {
    std::atomic<int> asked = 0;
    server_.service.on_inspect = [&asked](grpc::ServerContext* call, const auto&, auto& answer) {
        if (++asked == 1) {
            while (!call->IsCancelled()) {
                std::this_thread::yield();
            }
            return grpc::Status::CANCELLED;
        }
        answer.set_up_to("second");
        return grpc::Status::OK;
    };
    std::istringstream in;
    std::ostringstream out;
    Terminal terminal{.in = in,
                      .out = out,
                      .err = out,
                      .variable = [](const char*) { return ""; },
                      .working_directory = folder_,
                      .executable = ""};
    const Arguments arguments;
    Session session(terminal, arguments);
    const auto admin = session.admin_of(server_.address(), std::chrono::milliseconds(300), 3);
    ASSERT_TRUE(admin.ok()) << admin.status();
    const auto answer = (*admin)->inspect_replica({});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->up_to(), "second");
}

}  // namespace
}  // namespace starling::client
