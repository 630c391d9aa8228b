// Conflict policies and `starling conflicts`, on real nodes.

#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConflictsTest : public ::testing::Test {
  protected:
    int run(std::vector<std::string> words) {
        std::string addresses;
        for (const std::string& address : cluster_.addresses()) {
            addresses += (addresses.empty() ? "" : ",") + address;
        }
        words.insert(words.begin(), {"--addr", addresses});
        std::istringstream in;
        std::ostringstream out;
        std::ostringstream err;
        client::Terminal terminal{.in = in,
                                  .out = out,
                                  .err = err,
                                  .variable = [](const char*) { return std::string(); },
                                  .working_directory = cluster_.folder(),
                                  .executable = ""};
        const int code = client::run_starling(words, terminal);
        out_ = out.str();
        err_ = err.str();
        return code;
    }
    nlohmann::json run_json(std::vector<std::string> words, int code = client::exit_ok) {
        words.insert(words.end(), {"--output", "json"});
        EXPECT_EQ(run(std::move(words)), code) << err_;
        return nlohmann::json::parse(out_, nullptr, false);
    }
    // A namespace is known everywhere a moment after it was made.
    void create(const std::string& name, const std::string& policy) {
        ASSERT_EQ(run({"namespace", "create", name, "--policy", policy}), client::exit_ok) << err_;
        EXPECT_THAT(out_, HasSubstr(policy));
        ASSERT_TRUE(wait_until(Seconds(30), [&] {
            for (size_t i = 0; i < cluster_.size(); ++i) {
                const auto known = cluster_.node(i).admin()->list_namespaces();
                if (!known.ok() || known->namespaces_size() != 2) {
                    return false;
                }
            }
            return true;
        }));
    }
    void put_siblings(const std::string& key, const std::string& name_space = "") {
        Connected<client::Client> client(cluster_.options());
        for (const char* value : {"mine", "yours"}) {
            const auto written =
                client->put(key, value, {.request = {.name_space = name_space}, .context = ""});
            ASSERT_TRUE(written.ok()) << written.status();
        }
    }

    TestCluster cluster_{"partition_count = 32\n"};
    std::string out_;
    std::string err_;
};

TEST_F(ConflictsTest, SiblingsAreListedShownAndResolvedAlsoWithoutOneOfTheNodes) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(3));
    ASSERT_EQ(run({"put", "alone", "value"}), client::exit_ok) << err_;
    EXPECT_THAT(run_json({"conflicts", "list"})["conflicts"], IsEmpty());
    for (int i = 0; i < 5; ++i) {
        ASSERT_NO_FATAL_FAILURE(put_siblings("cart/" + std::to_string(i)));
    }
    cluster_.node(2).kill();

    std::set<std::string> listed;
    std::vector<std::string> more;
    for (int pages = 0; pages < 10; ++pages) {
        std::vector<std::string> words = {"conflicts", "list", "--limit", "2"};
        words.insert(words.end(), more.begin(), more.end());
        const auto page = run_json(words);
        EXPECT_EQ(page["partitions_missing"], 0);
        for (const auto& conflict : page["conflicts"]) {
            EXPECT_EQ(conflict["siblings"], 2);
            EXPECT_TRUE(listed.insert(conflict["key"]).second);
        }
        if (page["next"].is_null()) {
            break;
        }
        more = {"--from", page["next"]};
    }
    EXPECT_EQ(listed, (std::set<std::string>{"cart/0", "cart/1", "cart/2", "cart/3", "cart/4"}));

    const auto shown = run_json({"conflicts", "show", "cart/0"});
    ASSERT_EQ(shown["siblings"].size(), 2u);
    const std::string context = shown["context"];
    for (const auto& sibling : shown["siblings"]) {
        EXPECT_GT(sibling["wall_ms"], 0);
        EXPECT_EQ(sibling["dot"]["node_id"].get<std::string>().size(), 16u);
    }
    const std::string picked = shown["siblings"][0]["name"];
    ASSERT_EQ(run({"conflicts", "resolve", "cart/0", "-c", context, "--pick", picked}),
              client::exit_ok)
        << err_;
    EXPECT_EQ(run({"get", "cart/0"}), client::exit_ok);
    EXPECT_EQ(out_, shown["siblings"][0]["value"].get<std::string>() + "\n");
    EXPECT_EQ(run({"conflicts", "resolve", "cart/0", "-c", context, "--pick", picked}),
              client::exit_refused)
        << "that version is no more";
    EXPECT_THAT(err_, HasSubstr("unknown_sibling"));

    const std::string other = run_json({"conflicts", "show", "cart/1"})["context"];
    ASSERT_EQ(run({"conflicts", "resolve", "cart/1", "-c", other, "--value", "merged"}),
              client::exit_ok)
        << err_;
    EXPECT_EQ(run_json({"conflicts", "list"})["conflicts"].size(), 3u);
    EXPECT_EQ(run({"conflicts", "list", "--namespace", "nowhere"}), client::exit_refused);
    EXPECT_THAT(err_, HasSubstr("unknown_namespace"));
}

TEST_F(ConflictsTest, WhereAllHoldersOfPartitionsAreAwayTheListIsNoSuccess) {
    TestNode& known = cluster_.add_node();
    const auto joined = cluster_.add_node().admin()->join(known.peer_address());
    ASSERT_TRUE(joined.ok()) << joined.status();
    v1::Namespace single;
    single.set_name("single");
    single.set_replicas(1);
    ASSERT_TRUE(cluster_.node(0).admin()->create_namespace(single).ok());
    ASSERT_TRUE(wait_until(Seconds(60), [&] {
        const auto ring = cluster_.node(0).admin()->ring();
        if (!ring.ok()) {
            return false;
        }
        std::set<uint64_t> first_seats;
        for (const v1::RingPartition& partition : ring->partitions()) {
            first_seats.insert(partition.holders(0));
        }
        return first_seats.size() == 2;
    }));
    EXPECT_EQ(run_json({"conflicts", "list", "--namespace", "single"})["partitions_missing"], 0);
    cluster_.node(1).kill();
    const auto page =
        run_json({"conflicts", "list", "--namespace", "single"}, client::exit_unavailable);
    EXPECT_GT(page["partitions_missing"], 0);
    EXPECT_THAT(err_, HasSubstr("not complete"));
}

TEST_F(ConflictsTest, ALastWriteWinsNamespaceHasNoConflictsAndTheLastValue) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(3));
    ASSERT_NO_FATAL_FAILURE(create("sessions", "last_write_wins"));
    ASSERT_NO_FATAL_FAILURE(put_siblings("k", "sessions"));
    EXPECT_EQ(run({"get", "k", "--namespace", "sessions"}), client::exit_ok) << err_;
    EXPECT_EQ(out_, "yours\n");
    EXPECT_EQ(err_, "");
    EXPECT_THAT(run_json({"conflicts", "list", "--namespace", "sessions"})["conflicts"], IsEmpty());
    ASSERT_EQ(run({"delete", "k", "--namespace", "sessions"}), client::exit_ok) << err_;
    EXPECT_EQ(run({"get", "k", "--namespace", "sessions"}), client::exit_not_found);
}

TEST_F(ConflictsTest, ARejectStaleNamespaceWantsTheContextOfTheLatestRead) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(3));
    ASSERT_NO_FATAL_FAILURE(create("accounts", "reject_stale"));
    const std::vector<std::string> in = {"--namespace", "accounts"};
    const auto words = [&](std::vector<std::string> given) {
        given.insert(given.end(), in.begin(), in.end());
        return given;
    };
    ASSERT_EQ(run(words({"put", "k", "one"})), client::exit_ok) << err_;
    EXPECT_EQ(run(words({"put", "k", "two"})), client::exit_refused);
    EXPECT_THAT(err_, HasSubstr("stale_context"));
    const std::string context = run_json(words({"get", "k"}))["context"];
    EXPECT_EQ(run(words({"put", "k", "two", "-c", context})), client::exit_ok) << err_;
    EXPECT_EQ(run(words({"put", "k", "three", "-c", context})), client::exit_refused);
    EXPECT_EQ(run(words({"delete", "k", "-c", context})), client::exit_refused);
    EXPECT_EQ(run(words({"get", "k"})), client::exit_ok);
    EXPECT_EQ(out_, "two\n");
}

}  // namespace
}  // namespace starling::cluster_test
