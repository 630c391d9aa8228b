// `starling verify` over real nodes: equal ones, while they are written to; one whose data was
// changed behind its back; one that is away.

#include <atomic>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/commands.h"
#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "node/replica/storage_keys.h"
#include "node/version/record.h"
#include "storage/open.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* few_partitions = "partition_count = 8\nentropy_interval = \"1s\"\n";

struct Verified {
    int code = 0;
    std::string out;
    std::string err;
};

Verified verify(const TestCluster& cluster, size_t through, std::vector<std::string> more = {}) {
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    client::Terminal terminal{.in = in,
                              .out = out,
                              .err = err,
                              .variable = [](const char*) { return std::string(); },
                              .working_directory = cluster.folder(),
                              .executable = ""};
    std::vector<std::string> words = {
        "--addr", cluster.addresses()[through], "verify", "--settle", "1s"};
    words.insert(words.end(), more.begin(), more.end());
    const int code = client::run_starling(words, terminal);
    return {.code = code, .out = out.str(), .err = err.str()};
}

void write_keys(TestCluster& cluster, int count) {
    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < count; ++i) {
        const auto put = client->put(fmt::format("key {}", i), fmt::format("value {}", i));
        ASSERT_TRUE(put.ok()) << put.status();
    }
}

// Changes one value in a stopped node's engine, as no write of the node's own would: the versions
// stay as they are, so that no comparison of replicas repairs it.
std::string change_a_value(const std::string& directory) {
    env::PosixFileSystem files;
    env::PosixClock clock;
    env::PosixWallClock wall_clock;
    env::PosixWorkers workers(1);
    std::string changed;
    {
        auto engine = storage::open_engine(
            directory,
            {},
            {.files = files, .workers = workers, .clock = clock, .wall_clock = wall_clock});
        EXPECT_TRUE(engine.ok()) << engine.status();
        if (!engine.ok()) {
            return changed;
        }
        const auto iterator = (*engine)->new_iterator({.lower = node::storage_keys::records_begin(),
                                                       .upper = node::storage_keys::records_end(),
                                                       .snapshot = nullptr});
        iterator->seek_to_first();
        const std::string storage_key(iterator->key());
        const auto key = node::storage_keys::parse_record(storage_key);
        auto record = node::decode_record(iterator->value());
        EXPECT_TRUE(key.has_value() && record.ok());
        changed = std::string(node::split_group_key(key->group_key).key);
        record->siblings.at(0).value = "something else";
        std::string bytes;
        node::encode_record(bytes, *record);
        storage::WriteBatch batch;
        batch.put(storage_key, bytes);
        EXPECT_TRUE((*engine)->write(batch, {}).ok());
        EXPECT_TRUE((*engine)->close().ok());
    }
    workers.stop(env::PosixWorkers::Queued::drop);
    return changed;
}

TEST(VerifyTest, EqualReplicasPassAlsoWhileTheyAreWrittenTo) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    ASSERT_NO_FATAL_FAILURE(write_keys(cluster, 300));
    ASSERT_TRUE(cluster.wait_at_rest(Seconds(30))) << cluster.describe();
    const Verified quiet = verify(cluster, 0);
    EXPECT_EQ(quiet.code, 0) << quiet.out << quiet.err;
    EXPECT_THAT(quiet.out, HasSubstr("every key has 3 identical copies as of 20"));

    // A few keys again and again, and many once.
    std::atomic<bool> stop = false;
    std::atomic<int> writes = 0;
    std::thread writer([&] {
        Connected<client::Client> client(cluster.options());
        for (int i = 0; !stop; ++i) {
            const std::string key =
                i % 2 == 0 ? fmt::format("key {}", i % 10) : fmt::format("new {}", i);
            EXPECT_TRUE(client->put(key, fmt::format("again {}", i)).ok());
            ++writes;
        }
    });
    for (int round = 0; round < 3; ++round) {
        const int before = writes;
        const Verified busy = verify(cluster, 1);
        EXPECT_EQ(busy.code, 0) << busy.out << busy.err;
        EXPECT_GT(writes, before);
    }
    stop = true;
    writer.join();
}

TEST(VerifyTest, AValueThatOneReplicaHasOtherwiseIsNamedWithItsNode) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    ASSERT_NO_FATAL_FAILURE(write_keys(cluster, 50));
    ASSERT_TRUE(cluster.wait_at_rest(Seconds(30))) << cluster.describe();
    // Its next start makes the hash trees anew.
    cluster.node(2).kill();
    const std::string key = change_a_value(cluster.node(2).folder() + "/data/shard-0");
    cluster.node(2).start();
    ASSERT_TRUE(cluster.node(2).wait_ready());

    const Verified found = verify(cluster, 0);
    EXPECT_EQ(found.code, 1) << found.out << found.err;
    EXPECT_THAT(found.out, HasSubstr("namespace default, key " + key + "\n"));
    EXPECT_THAT(found.out, HasSubstr(cluster.node(2).client_address()));
    EXPECT_THAT(found.out, HasSubstr("14 B"));
    EXPECT_THAT(found.out, HasSubstr("1 keys differ"));
    const Verified json = verify(cluster, 1, {"--output", "json"});
    EXPECT_EQ(json.code, 1);
    EXPECT_THAT(json.out, HasSubstr("\"result\": \"different\""));
    EXPECT_THAT(json.out, HasSubstr(key));
    const Verified other = verify(cluster, 1, {"--namespace", "nowhere"});
    EXPECT_EQ(other.code, 2) << "nothing of the kind can be checked";
    EXPECT_THAT(other.err, HasSubstr("nowhere"));
}

TEST(VerifyTest, ANodeThatIsAwayIsNamedAndNothingIsClaimed) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    ASSERT_NO_FATAL_FAILURE(write_keys(cluster, 50));
    cluster.node(1).kill();
    const Verified found = verify(cluster, 0);
    EXPECT_EQ(found.code, 2) << found.out << found.err;
    EXPECT_THAT(found.out, HasSubstr("cannot be checked"));
    EXPECT_THAT(found.out, HasSubstr(cluster.node(1).client_address()));
    EXPECT_THAT(found.out, Not(HasSubstr("identical copies")));
}

}  // namespace
}  // namespace starling::cluster_test
