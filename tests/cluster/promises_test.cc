// What three running nodes promise, as those see it who use and watch them: through `starling` and
// /metrics alone.

#include <algorithm>
#include <cmath>
#include <csignal>
#include <functional>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::MatchesRegex;
using ::testing::Not;

using Milliseconds = std::chrono::milliseconds;

constexpr size_t node_count = 3;
constexpr size_t partitions = 8;
constexpr size_t keys = 30;

// A tombstone may go 31 s after its request was made: the window and the drift.
std::string short_times() {
    return fmt::format(
        "partition_count = {}\nentropy_interval = \"1s\"\n"
        "clock_drift_max = \"1s\"\nhttp_address = \"127.0.0.1:0\"\n",
        partitions);
}
constexpr Seconds tombstones_go_within(60);

uint64_t unix_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(now / Milliseconds(1));
}

// The whole answer to a GET, or what came of it.
std::string fetch(const std::string& address, const std::string& path) {
    const size_t colon = address.rfind(':');
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
    ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &peer.sin_addr);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::string answer;
    if (::connect(socket, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)) == 0) {
        const std::string request =
            fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", path, address);
        ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
        char piece[16384];
        for (ssize_t got; (got = ::recv(socket, piece, sizeof(piece), 0)) > 0;) {
            answer.append(piece, static_cast<size_t>(got));
        }
    }
    ::close(socket);
    return answer;
}

// By name and labels, as they stand there.
using Metrics = std::map<std::string, double>;

Metrics parse_metrics(const std::string& answer) {
    Metrics metrics;
    const size_t head = answer.find("\r\n\r\n");
    std::istringstream body(head == std::string::npos ? "" : answer.substr(head + 4));
    for (std::string line; std::getline(body, line);) {
        const size_t space = line.rfind(' ');
        if (!line.starts_with('#') && space != std::string::npos) {
            metrics[line.substr(0, space)] = std::stod(line.substr(space + 1));
        }
    }
    return metrics;
}

struct Said {
    int code = 0;
    std::string out;
    std::string err;
};

class PromisesTest : public ::testing::Test {
  protected:
    explicit PromisesTest(const std::string& more = "") : cluster_(short_times() + more) {}

    // `starling`, asking this node.
    Said run(size_t through, const std::vector<std::string>& words) {
        std::istringstream in;
        std::ostringstream out;
        std::ostringstream err;
        client::Terminal terminal{.in = in,
                                  .out = out,
                                  .err = err,
                                  .variable = [](const char*) { return std::string(); },
                                  .working_directory = cluster_.folder(),
                                  .executable = ""};
        std::vector<std::string> all = {
            "--addr", cluster_.addresses()[through], "--request-timeout", "20s"};
        all.insert(all.end(), words.begin(), words.end());
        const int code = client::run_starling(all, terminal);
        return {.code = code, .out = out.str(), .err = err.str()};
    }
    void carry_out(size_t through, const std::vector<std::string>& words) {
        const Said said = run(through, words);
        ASSERT_EQ(said.code, client::exit_ok)
            << fmt::format("{}", fmt::join(words, " ")) << ": " << said.err;
    }
    Said get(size_t through, const std::string& key, const std::vector<std::string>& options = {}) {
        std::vector<std::string> words = {"get", key};
        words.insert(words.end(), options.begin(), options.end());
        return run(through, words);
    }
    void expect_value(size_t through,
                      const std::string& key,
                      const std::string& value,
                      const std::vector<std::string>& options = {}) {
        const Said read = get(through, key, options);
        EXPECT_EQ(read.code, client::exit_ok) << key << " through " << through << ": " << read.err;
        EXPECT_EQ(read.out, value + "\n") << key << " through " << through;
    }
    void expect_absent(size_t through,
                       const std::string& key,
                       const std::vector<std::string>& options = {}) {
        const Said read = get(through, key, options);
        EXPECT_EQ(read.code, client::exit_not_found)
            << key << " through " << through << ": " << read.err;
        EXPECT_EQ(read.out, "") << key << " through " << through;
        EXPECT_THAT(read.err, HasSubstr("not found"));
    }
    void expect_identical_copies(const std::string& copies,
                                 const std::vector<std::string>& options = {}) {
        for (size_t node = 0; node < node_count; ++node) {
            std::vector<std::string> words = {"verify", "--settle", "1s"};
            words.insert(words.end(), options.begin(), options.end());
            const Said said = run(node, words);
            EXPECT_EQ(said.code, client::exit_ok) << said.out << said.err;
            EXPECT_THAT(said.out,
                        MatchesRegex("every key has " + copies +
                                     " identical copies as of 20[-0-9]+T[:0-9]+Z\n"));
        }
    }

    // Those of which a test writes so many, through each node by turns.
    static std::string name(size_t i) { return fmt::format("key {}", i); }
    void expect_all_absent() {
        for (size_t i = 0; i < keys; ++i) {
            for (size_t node = 0; node < node_count; ++node) {
                expect_absent(node, name(i));
            }
        }
    }
    // Through each node by turns, until each has hidden it. Nodes and test have one clock, so what
    // began and ended on the same side of the expiry has one right answer.
    void read_over_expiry(const std::string& key, uint64_t expires_ms) {
        std::vector<int> shown(node_count);
        std::vector<int> hidden(node_count);
        EXPECT_TRUE(wait_until(Seconds(30), [&] {
            for (size_t node = 0; node < node_count; ++node) {
                const uint64_t begun_ms = unix_ms();
                const Said read = get(node, key);
                if (begun_ms >= expires_ms) {
                    EXPECT_EQ(read.code, client::exit_not_found) << read.out << read.err;
                    ++hidden[node];
                } else if (unix_ms() < expires_ms) {
                    EXPECT_EQ(read.code, client::exit_ok) << read.err;
                    ++shown[node];
                }
            }
            return HasFailure() || *std::ranges::min_element(hidden) > 0;
        }));
        EXPECT_THAT(shown, Each(Gt(0)));
    }

    // /metrics of a node.
    Metrics metrics(size_t node) {
        const auto addresses =
            nlohmann::json::parse(read_text(cluster_.node(node).folder() + "/data/addresses.json"));
        return parse_metrics(fetch(addresses.at("http_address"), "/metrics"));
    }
    // Of each node; NaN, which fulfils nothing, where it has no such metric.
    std::vector<double> of_all(const std::string& name) {
        std::vector<double> values;
        for (size_t node = 0; node < node_count; ++node) {
            const Metrics all = metrics(node);
            const auto found = all.find(name);
            values.push_back(found == all.end() ? std::nan("") : found->second);
        }
        return values;
    }
    bool all_become(const std::string& name,
                    Seconds deadline,
                    const std::function<bool(double)>& wanted) {
        return wait_until(deadline, [&] { return std::ranges::all_of(of_all(name), wanted); });
    }
    bool all_become(const std::string& name, size_t wanted) {
        return all_become(
            name, Seconds(30), [wanted](double now) { return now == static_cast<double>(wanted); });
    }
    // Each node has a replica of every key, so each gets rid of `keys`, asked by nobody; so many
    // records stay.
    void expect_tombstones_go(size_t records_left) {
        EXPECT_TRUE(all_become("starling_tombstones_collected_total",
                               tombstones_go_within,
                               [](double collected) { return collected >= keys; }))
            << told("starling_tombstones_collected_total");
        EXPECT_TRUE(all_become("starling_tombstones", 0)) << told("starling_tombstones");
        EXPECT_TRUE(all_become("starling_records", records_left)) << told("starling_records");
    }
    std::string told(const std::string& name) {
        return fmt::format("{}: {}\n{}", name, fmt::join(of_all(name), ", "), cluster_.describe());
    }

    TestCluster cluster_;
};

class CanaryPromisesTest : public PromisesTest {
  protected:
    CanaryPromisesTest() : PromisesTest("canary = true\ncanary_interval = \"20ms\"\n") {}
};

TEST_F(CanaryPromisesTest, EachNodesCanaryWritesReadsAndDeletesAndFindsNoPromiseBroken) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(node_count));
    const char* const operations = "starling_canary_operations_total";
    // Each of its keys is put, read, put, read, deleted and read by then.
    const double turn = 6 * partitions;
    ASSERT_TRUE(all_become(operations, Seconds(60), [&](double done) { return done >= turn; }))
        << told(operations);
    const std::vector<double> before = of_all(operations);
    ASSERT_TRUE(all_become(operations, Seconds(30), [&](double done) {
        return done >= *std::ranges::max_element(before) + turn;
    })) << told(operations);

    EXPECT_THAT(of_all("starling_canary_has_namespace"), Each(1));
    for (const char* promise : {"lost_write", "deleted_returned", "stale_read"}) {
        const std::string name =
            fmt::format("starling_canary_broken_promises_total{{promise=\"{}\"}}", promise);
        EXPECT_THAT(of_all(name), Each(0)) << told(name);
    }
    EXPECT_THAT(of_all("starling_canary_failed_total"), Each(Le(turn / 2)));
    // Nobody else writes, and nobody else deletes.
    EXPECT_TRUE(all_become("starling_records", partitions * node_count))
        << told("starling_records");
    EXPECT_TRUE(all_become("starling_tombstones", Seconds(30), [](double now) { return now > 0; }))
        << told("starling_tombstones");
    for (size_t node = 0; node < node_count; ++node) {
        EXPECT_THAT(run(node, {"status"}).out,
                    AllOf(HasSubstr("records"), Not(HasSubstr("canary"))));
    }
    expect_identical_copies("3", {"--namespace", "starling.canary"});
}

TEST_F(PromisesTest, AnExpiredValueIsHiddenOnTimeAndTheTombstoneInItsPlaceGoesByItself) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(node_count));
    const uint64_t ttl_ms = 4000 * slowness;
    const std::vector<std::string> ttl = {"--ttl", fmt::format("{}ms", ttl_ms)};
    const auto put_expiring = [&](size_t i) {
        carry_out(i % node_count, {"put", name(i), "value", ttl[0], ttl[1]});
    };
    ASSERT_NO_FATAL_FAILURE(carry_out(0, {"put", "plain", "stays"}));
    ASSERT_NO_FATAL_FAILURE(carry_out(1, {"put", "renewed", "expires", ttl[0], ttl[1]}));
    ASSERT_NO_FATAL_FAILURE(carry_out(2, {"put", "renewed", "stays"}));
    for (size_t i = 1; i < keys; ++i) {
        ASSERT_NO_FATAL_FAILURE(put_expiring(i));
    }
    const uint64_t earliest_ms = unix_ms() + ttl_ms;
    ASSERT_NO_FATAL_FAILURE(put_expiring(0));
    const uint64_t latest_ms = unix_ms() + ttl_ms;

    const Said read = get(0, name(0), {"--output", "json"});
    ASSERT_EQ(read.code, client::exit_ok) << read.err;
    const uint64_t expires_ms = nlohmann::json::parse(read.out).at("values").at(0).at("expires_ms");
    EXPECT_THAT(expires_ms, AllOf(Ge(earliest_ms), Le(latest_ms)));
    read_over_expiry(name(0), expires_ms);
    expect_all_absent();

    EXPECT_TRUE(wait_until(tombstones_go_within, [&] {
        const std::vector<double> removed = of_all("starling_expired_values_removed_total");
        return std::accumulate(removed.begin(), removed.end(), 0.0) >= keys;
    })) << told("starling_expired_values_removed_total");
    expect_tombstones_go(/*records_left=*/2);
    expect_all_absent();
    for (size_t node = 0; node < node_count; ++node) {
        expect_value(node, "plain", "stays");
        expect_value(node, "renewed", "stays");
    }
    expect_identical_copies("3");
}

TEST_F(PromisesTest, DeletedKeysAreAbsentThroughEachNodeAndTheirTombstonesGoByThemselves) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(node_count));
    ASSERT_NO_FATAL_FAILURE(carry_out(0, {"put", "plain", "stays"}));
    for (size_t i = 0; i < keys; ++i) {
        ASSERT_NO_FATAL_FAILURE(carry_out(i % node_count, {"put", name(i), "value"}));
        expect_value((i + 2) % node_count, name(i), "value");
    }
    for (size_t i = 0; i < keys; ++i) {
        ASSERT_NO_FATAL_FAILURE(carry_out((i + 1) % node_count, {"delete", name(i)}));
    }
    expect_all_absent();
    expect_tombstones_go(/*records_left=*/1);
    expect_all_absent();
    for (size_t node = 0; node < node_count; ++node) {
        expect_value(node, "plain", "stays");
    }
    expect_identical_copies("3");
}

class SessionPromisesTest : public PromisesTest {
  protected:
    // A node gives a read up so early that the client hears why.
    SessionPromisesTest() : PromisesTest("deadline_default = \"1s\"\ndeadline_max = \"1s\"\n") {}

    std::vector<std::string> in_session(std::vector<std::string> words) {
        words.insert(words.end(), {"--session", cluster_.folder() + "/session"});
        return words;
    }
    // Asks no other one before.
    std::vector<std::string> put_at_one_replica(const std::string& key, const std::string& value) {
        return in_session({"put", key, value, "--w", "1", "--blind"});
    }
    std::vector<std::string> with_one_answer() { return in_session({"--r", "1"}); }
};

TEST_F(SessionPromisesTest, WhereTheOnlyNodeWithItDoesNotAnswerAReadFailsRatherThanReturnLess) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(node_count));
    cluster_.node(1).kill();
    cluster_.node(2).kill();
    ASSERT_NO_FATAL_FAILURE(carry_out(0, put_at_one_replica("key", "value")));
    cluster_.node(0).process().send_signal(SIGSTOP);
    for (const size_t node : {size_t{1}, size_t{2}}) {
        cluster_.node(node).start();
        ASSERT_TRUE(cluster_.node(node).wait_ready());
    }
    Said without;
    EXPECT_TRUE(wait_until(Seconds(30),
                           [&] {
                               without = get(1, "key", {"--r", "1"});
                               return without.code == client::exit_not_found;
                           }))
        << without.code << without.err;
    const Said refused = get(1, "key", with_one_answer());
    EXPECT_EQ(refused.code, client::exit_unavailable) << refused.out;
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, HasSubstr("session_not_satisfied"));

    cluster_.node(0).process().send_signal(SIGCONT);
    for (const size_t node : {size_t{1}, size_t{2}}) {
        Said read;
        EXPECT_TRUE(wait_until(Seconds(30), [&] {
            read = get(node, "key", with_one_answer());
            return read.code != client::exit_unavailable;
        })) << read.err;
        EXPECT_EQ(read.out, "value\n") << read.err;
    }
}

TEST_F(PromisesTest, VerifyFindsAsManyIdenticalCopiesOfEachKeyAsItsNamespaceHas) {
    ASSERT_NO_FATAL_FAILURE(cluster_.form(node_count));
    ASSERT_NO_FATAL_FAILURE(
        carry_out(0, {"namespace", "create", "pairs", "--n", "2", "--r", "2", "--w", "2"}));
    ASSERT_TRUE(wait_until(Seconds(30), [&] {
        for (size_t node = 0; node < node_count; ++node) {
            if (run(node, {"namespace", "list"}).out.find("pairs") == std::string::npos) {
                return false;
            }
        }
        return true;
    }));
    for (size_t i = 0; i < keys; ++i) {
        for (const char* name_space : {"default", "pairs"}) {
            ASSERT_NO_FATAL_FAILURE(
                carry_out(i % node_count, {"put", name(i), "first", "--namespace", name_space}));
            ASSERT_NO_FATAL_FAILURE(carry_out(
                (i + 1) % node_count, {"put", name(i), "second", "--namespace", name_space}));
            if (i % 3 == 0) {
                ASSERT_NO_FATAL_FAILURE(carry_out((i + 2) % node_count,
                                                  {"delete", name(i), "--namespace", name_space}));
            }
        }
    }
    expect_identical_copies("2 or 3");
    expect_identical_copies("3", {"--namespace", "default", "--read-all"});
    expect_identical_copies("2", {"--namespace", "pairs", "--read-all"});
}

}  // namespace
}  // namespace starling::cluster_test
