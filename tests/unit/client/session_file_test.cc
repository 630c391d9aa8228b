#include "client/cli/session_file.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/cli/exit_codes.h"
#include "client/cli/show.h"
#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/random.h"
#include "tests/unit/client/cli_fixture.h"

namespace starling::client {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

// Each answer has a token of its own.
class SessionFileTest : public CliTest {
  protected:
    SessionFileTest() {
        server_.service.on_put = [this](auto*, const v1::PutRequest& put, auto& answer) {
            if (on_put) {
                std::exchange(on_put, nullptr)();
            }
            answer.set_session(absl::StrCat("[put ", put.value(), "]"));
            return grpc::Status::OK;
        };
        server_.service.on_get = [](auto*, const v1::GetRequest&, v1::GetResponse& answer) {
            answer.add_values()->set_value("v");
            answer.set_session("[get]");
            return grpc::Status::OK;
        };
    }
    int ask_in_session(std::vector<std::string> words) {
        words.insert(words.end(), {"--session", file});
        return ask(std::move(words));
    }
    // What the next command would send of the key.
    std::string session_of(const std::string& key) {
        EXPECT_EQ(ask({"put", key, "asks", "--session", copy_of_file()}), exit_ok) << err_;
        return server_.service.puts().back().session();
    }
    std::string copy_of_file() {
        const std::string copy = folder_ + "/copy";
        std::filesystem::copy_file(file, copy, std::filesystem::copy_options::overwrite_existing);
        return copy;
    }
    static std::string line_of(const std::string& key, const std::string& token) {
        return absl::StrCat(to_hex("default"), " ", to_hex(key), " ", to_hex(token), "\n");
    }
    std::vector<std::string> lines() const {
        std::ifstream in(file);
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);) {
            all.push_back(line + "\n");
        }
        return all;
    }

    const std::string file = folder_ + "/session";
    // Before the next put is answered.
    std::function<void()> on_put;
};

TEST_F(SessionFileTest, CommandsAtOnceKeepWhatEachOfThemHasSeen) {
    ASSERT_EQ(ask_in_session({"put", "before", "0"}), exit_ok) << err_;
    on_put = [this] { EXPECT_EQ(ask_in_session({"put", "inner", "1"}), exit_ok) << err_; };
    ASSERT_EQ(ask_in_session({"put", "outer", "2"}), exit_ok) << err_;
    EXPECT_EQ(err_, "");
    EXPECT_EQ(session_of("before"), "[put 0]");
    EXPECT_EQ(session_of("inner"), "[put 1]");
    EXPECT_EQ(session_of("outer"), "[put 2]");
}

TEST_F(SessionFileTest,
       OfAKeyThatCommandsAtOnceHaveWrittenAllTheirTokensAreKeptUntilTheNextAnswer) {
    ASSERT_EQ(ask_in_session({"put", "k", "0"}), exit_ok) << err_;
    on_put = [this] { EXPECT_EQ(ask_in_session({"put", "k", "1"}), exit_ok) << err_; };
    ASSERT_EQ(ask_in_session({"put", "k", "2"}), exit_ok) << err_;
    EXPECT_THAT(session_of("k"), AnyOf("[put 1][put 2]", "[put 2][put 1]"));
    ASSERT_EQ(ask_in_session({"get", "k"}), exit_ok) << err_;
    EXPECT_EQ(session_of("k"), "[get]");
}

TEST_F(SessionFileTest, ACommandThatDidNotTouchAKeyLeavesItAsOthersHaveLeftIt) {
    ASSERT_EQ(ask_in_session({"put", "k", "0"}), exit_ok) << err_;
    on_put = [this] { EXPECT_EQ(ask_in_session({"put", "k", "1"}), exit_ok) << err_; };
    ASSERT_EQ(ask_in_session({"put", "other", "2"}), exit_ok) << err_;
    EXPECT_EQ(session_of("k"), "[put 1]");
}

TEST_F(SessionFileTest, ACommandWaitsForOneThatSavesItsSession) {
    env::PosixFileSystem files;
    auto lock = files.lock(file + ".lock");
    ASSERT_TRUE(lock.ok()) << lock.status();
    std::promise<void> answered;
    on_put = [&] { answered.set_value(); };
    auto command =
        std::async(std::launch::async, [this] { return ask_in_session({"put", "mine", "1"}); });
    answered.get_future().wait();
    std::ofstream(file) << line_of("other", "[other]");
    lock->reset();
    EXPECT_EQ(command.get(), exit_ok) << err_;
    EXPECT_EQ(session_of("other"), "[other]");
    EXPECT_EQ(session_of("mine"), "[put 1]");
}

TEST_F(SessionFileTest, AFileThatIsNeverFreeIsAnErrorAndKept) {
    env::PosixFileSystem files;
    env::PosixClock clock;
    env::PosixWallClock wall_clock;
    env::PosixRandom random;
    std::ofstream(file) << line_of("k", "[k]");
    const auto client = Client::make({.endpoints = {"127.0.0.1:1"}, .read_your_writes = true},
                                     {clock, wall_clock, random});
    ASSERT_TRUE(client.ok()) << client.status();
    SessionFile session(files, file, /*lock_wait=*/std::chrono::milliseconds(20));
    ASSERT_TRUE(session.load(**client).ok());
    (*client)->resume({{.name_space = "default", .key = "new", .token = "[new]"}});
    const auto lock = files.lock(file + ".lock");
    ASSERT_TRUE(lock.ok()) << lock.status();
    const absl::Status saved = session.save(**client);
    EXPECT_TRUE(absl::IsUnavailable(saved)) << saved;
    EXPECT_THAT(std::string(saved.message()), HasSubstr(file));
    EXPECT_EQ(lines(), std::vector{line_of("k", "[k]")});
}

// Of a file that cannot be made: a folder is missing.
class UnsavedSessionTest : public SessionFileTest {
  protected:
    int ask_unsaved(std::vector<std::string> words, const std::string& input = "") {
        words.insert(words.end(), {"--session", folder_ + "/nowhere/session"});
        return ask(std::move(words), input);
    }
    void expect_said() {
        EXPECT_THAT(err_, HasSubstr("the session was not saved: "));
        EXPECT_THAT(err_, HasSubstr(folder_ + "/nowhere/session"));
        EXPECT_THAT(err_, HasSubstr("[session_not_saved]"));
    }
};

TEST_F(UnsavedSessionTest, AWriteThatWasDoneIsToldAndThenThatTheSessionWasNotSaved) {
    EXPECT_EQ(ask_unsaved({"put", "k", "v", "--output", "json"}), exit_session_not_saved);
    EXPECT_THAT(out_, HasSubstr("\"message\": \"Ok\""));
    expect_said();
    EXPECT_EQ(ask_unsaved({"put", "k", "v", "--explain"}), exit_session_not_saved);
    EXPECT_LT(err_.find("write "), err_.find("the session was not saved"));
    EXPECT_EQ(ask_unsaved({"delete", "k"}), exit_session_not_saved);
    expect_said();
    EXPECT_EQ(server_.service.puts().size(), 2u);
    EXPECT_EQ(server_.service.deletes().size(), 1u);
}

TEST_F(UnsavedSessionTest, AnOutcomeThatIsUnknownStaysSo) {
    server_.service.on_put = [](grpc::ServerContext* call, const auto&, auto&) {
        return refuse(call, grpc::StatusCode::UNAVAILABLE, "quorum_not_reached", true);
    };
    EXPECT_EQ(ask_unsaved({"put", "k", "v", "--request-timeout", "100ms"}), exit_quorum_missed);
    EXPECT_LT(err_.find("outcome unknown"), err_.find("the session was not saved"));
    expect_said();
}

TEST_F(UnsavedSessionTest, WhatWasReadIsShown) {
    EXPECT_EQ(ask_unsaved({"get", "k"}), exit_session_not_saved);
    EXPECT_EQ(out_, "v\n");
    expect_said();
    server_.service.on_get = [](auto*, const auto&, auto&) { return grpc::Status::OK; };
    EXPECT_EQ(ask_unsaved({"get", "k"}), exit_not_found);
}

TEST_F(UnsavedSessionTest, ABatchKeepsItsOwnExitCode) {
    EXPECT_EQ(ask_unsaved({"batch", "-"}, "put k v\n"), exit_session_not_saved);
    expect_said();
    EXPECT_EQ(ask_unsaved({"batch", "-"}, "put k v\nfrob\n"), exit_refused);
    expect_said();
}

TEST_F(SessionFileTest, WhatASessionForgetsForLackOfRoomIsSaid) {
    const size_t keys_max = ClientOptions().session_keys_max;
    std::vector<std::string> wanted;
    for (size_t i = 0; i < keys_max; ++i) {
        wanted.push_back(line_of(absl::StrCat("key ", i), "[t]"));
    }
    {
        std::ofstream out(file);
        for (const std::string& line : wanted) {
            out << line;
        }
    }
    ASSERT_EQ(ask_in_session({"put", "key 7", "v"}), exit_ok) << err_;
    EXPECT_EQ(err_, "") << "it knows that key";
    EXPECT_EQ(lines().size(), keys_max);
    ASSERT_EQ(ask_in_session({"put", "new", "v"}), exit_ok) << err_;
    EXPECT_THAT(err_, HasSubstr("starling: "));
    EXPECT_THAT(err_, HasSubstr(file));
    wanted.erase(wanted.begin() + 7);
    wanted.erase(wanted.begin());
    wanted.push_back(line_of("key 7", "[put v]"));
    wanted.push_back(line_of("new", "[put v]"));
    EXPECT_EQ(lines(), wanted);
}

}  // namespace
}  // namespace starling::client
