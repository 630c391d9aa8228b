#include "node/daemon/config.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"

#include "node/daemon/config_keys.h"
#include "node/daemon/descriptors.h"

namespace starling::node {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The message of the mistakes in `text`.
std::string mistakes_in(const std::string& text) {
    Config config;
    const absl::Status status = apply_toml(config, text, "x.toml");
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    return std::string(status.message());
}

TEST(ConfigTest, EachKindOfValueArrives) {
    Config config;
    const absl::Status status = apply_toml(config,
                                           "cluster_name = 'flock'\n"
                                           "partition_count = 64\n"
                                           "client_address = '127.0.0.1:3001'\n"
                                           "http_address = '[::1]:8001'\n"
                                           "memory_bytes_max = '128MiB'\n"
                                           "hint_bytes_max = 4096\n"
                                           "value_bytes_max = '1MiB'\n"
                                           "deadline_default = '500ms'\n"
                                           "insecure_listen = true\n"
                                           "log_format = 'json'\n"
                                           "engine = 'in_memory'\n",
                                           "x.toml");
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(config.node.cluster_name, "flock");
    EXPECT_EQ(config.node.partition_count, 64u);
    EXPECT_EQ(config.client_address, "127.0.0.1:3001");
    EXPECT_EQ(config.http_address, "[::1]:8001");
    EXPECT_EQ(config.node.memory_bytes_max, 128ULL << 20);
    EXPECT_EQ(config.node.hint_bytes_max, 4096u);
    EXPECT_EQ(config.node.value_bytes_max, 1u << 20);
    EXPECT_EQ(config.grpc.requests.value_bytes_max, 1u << 20) << "the doors know it too";
    EXPECT_EQ(config.node.deadline_default, std::chrono::milliseconds(500));
    EXPECT_TRUE(config.insecure_listen);
    EXPECT_EQ(config.log_format, LogFormat::json);
    EXPECT_EQ(config.node.engine, "in_memory");
    EXPECT_EQ(config.origins.at("partition_count"), "x.toml:2");
}

TEST(ConfigTest, WhatTheStorageEngineIsToldArrives) {
    Config config;
    const absl::Status status = apply_toml(config,
                                           "engine = 'bitcask'\n"
                                           "block_cache_bytes = '64MiB'\n"
                                           "compression = 'none'\n"
                                           "deepest_compression = 'zstd'\n"
                                           "compaction_bytes_per_second = '20MiB'\n"
                                           "disk_reserve_bytes = '1GiB'\n"
                                           "direct_reads = true\n"
                                           "encryption_key_file = '/etc/starling/key'\n",
                                           "x.toml");
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(config.node.engine, "bitcask");
    EXPECT_EQ(config.node.block_cache_bytes, 64u << 20);
    EXPECT_EQ(config.node.compression, storage::Compression::none);
    EXPECT_EQ(config.node.deepest_compression, storage::Compression::zstd);
    EXPECT_EQ(config.node.compaction_bytes_per_second, 20u << 20);
    EXPECT_EQ(config.node.disk_reserve_bytes, 1u << 30);
    EXPECT_TRUE(config.node.direct_reads);
    EXPECT_EQ(config.encryption_key_file, "/etc/starling/key");
    EXPECT_TRUE(apply_toml(config, "deepest_compression = 'same'\n", "x.toml").ok());
    EXPECT_EQ(config.node.deepest_compression, std::nullopt);
}

TEST(ConfigTest, ABlockCacheThatLeavesMemtablesTooLittleIsNamedWithTheMost) {
    Config config;
    ASSERT_TRUE(
        apply_toml(config, "memory_bytes_max = '64MiB'\nblock_cache_bytes = 29360129\n", "x.toml")
            .ok());
    EXPECT_EQ(std::string(check_config(config).message()),
              "x.toml:2: key 'block_cache_bytes': expected at most 7/16 of memory_bytes_max, "
              "29360128, found 29360129");
    config.node.block_cache_bytes = 28u << 20;
    EXPECT_TRUE(check_config(config).ok());
}

TEST(ConfigTest, AnEmptyFileIsTheDefaults) {
    Config config;
    EXPECT_TRUE(apply_toml(config, "", "x.toml").ok());
    EXPECT_TRUE(check_config(config).ok());
    EXPECT_EQ(config.client_address, "127.0.0.1:4000");
}

TEST(ConfigTest, AnUnknownKeyNamesFileLineAndKey) {
    EXPECT_THAT(mistakes_in("\n\nshard = 3\n"),
                AllOf(HasSubstr("x.toml:3: "), HasSubstr("unknown key 'shard'")));
    EXPECT_THAT(mistakes_in("[log]\nlevel = 'info'\n"), HasSubstr("x.toml:1: unknown key 'log'"));
}

TEST(ConfigTest, AWrongTypeNamesFileLineKeyAndWhatWasExpected) {
    EXPECT_EQ(mistakes_in("# one\nshards = 'four'\n"),
              "x.toml:2: key 'shards': expected a whole number from 0 to 64, found 'four'");
    EXPECT_THAT(
        mistakes_in("cluster_name = 7\n"),
        AllOf(
            HasSubstr("x.toml:1: key 'cluster_name'"), HasSubstr("a text"), HasSubstr("found 7")));
    EXPECT_THAT(mistakes_in("shards = 1.5\n"), HasSubstr("found 1.5"));
    EXPECT_THAT(mistakes_in("insecure_listen = 'yes'\n"), HasSubstr("expected true or false"));
    EXPECT_THAT(mistakes_in("zone = ['a']\n"), HasSubstr("key 'zone'"));
    EXPECT_THAT(mistakes_in("[zone]\n"), HasSubstr("found a table"));
    EXPECT_THAT(mistakes_in("zone = 1979-05-27\n"), HasSubstr("found a date"));
}

TEST(ConfigTest, AValueOutOfRangeNamesFileLineKeyAndTheRange) {
    EXPECT_THAT(mistakes_in("partition_count = 100\n"),
                AllOf(HasSubstr("x.toml:1: key 'partition_count'"), HasSubstr("a power of two")));
    EXPECT_THAT(mistakes_in("seat_count = 8\n"),
                HasSubstr("x.toml:1: key 'seat_count': expected a whole number from 1 to 7"));
    EXPECT_THAT(mistakes_in("memory_bytes_max = '1KiB'\n"), HasSubstr("from 64MiB to 1024GiB"));
    EXPECT_THAT(mistakes_in("memory_bytes_max = '12 parsecs'\n"), HasSubstr("like \"512MiB\""));
    EXPECT_THAT(mistakes_in("hint_bytes_max = -1\n"), HasSubstr("key 'hint_bytes_max'"));
    EXPECT_THAT(mistakes_in("deadline_default = 2\n"), HasSubstr("like \"250ms\""));
    EXPECT_THAT(mistakes_in("client_address = 'localhost:1'\n"), HasSubstr("IP:PORT"));
    EXPECT_THAT(mistakes_in("client_address = ''\n"), HasSubstr("IP:PORT"));
    EXPECT_THAT(mistakes_in("engine = 'sled'\n"),
                HasSubstr("one of \"lsm\", \"bitcask\", \"kvs\", \"in_memory\""));
    EXPECT_THAT(mistakes_in("\ncompression = 'gzip'\n"),
                HasSubstr("x.toml:2: key 'compression': expected one of \"none\", \"lz4\", "
                          "\"zstd\", found 'gzip'"));
    EXPECT_THAT(mistakes_in("compression = 'same'\n"), HasSubstr("key 'compression'"));
    EXPECT_THAT(
        mistakes_in("deepest_compression = 'lzma'\n"),
        HasSubstr("x.toml:1: key 'deepest_compression': expected one of \"same\", \"none\""));
    EXPECT_THAT(mistakes_in("compaction_bytes_per_second = '2TB'\n"),
                HasSubstr("x.toml:1: key 'compaction_bytes_per_second': expected a size from 0B"));
    EXPECT_THAT(mistakes_in("disk_reserve_bytes = -1\n"),
                HasSubstr("x.toml:1: key 'disk_reserve_bytes': expected a size from 0B"));
    EXPECT_THAT(mistakes_in("block_cache_bytes = 'all'\n"),
                HasSubstr("x.toml:1: key 'block_cache_bytes': expected a size from 0B"));
    EXPECT_THAT(mistakes_in("encryption_key_file = ''\n"),
                HasSubstr("x.toml:1: key 'encryption_key_file': expected the path of a file"));
    EXPECT_THAT(mistakes_in("log_format = 'xml'\n"), HasSubstr("one of \"text\", \"json\""));
    EXPECT_THAT(mistakes_in("cluster_name = ''\n"), HasSubstr("1 to 64 bytes"));
}

TEST(ConfigTest, AllMistakesAreToldAtOnceInTheirOrder) {
    const std::string told = mistakes_in("zzz = 1\nshards = 99\nweight = 0\n");
    EXPECT_LT(told.find("x.toml:1"), told.find("x.toml:2"));
    EXPECT_LT(told.find("x.toml:2"), told.find("x.toml:3"));
}

TEST(ConfigTest, WhatIsNotTomlNamesItsLine) {
    EXPECT_THAT(mistakes_in("shards = 1\nzone = \n"), HasSubstr("x.toml:2: not TOML"));
    EXPECT_THAT(mistakes_in("shards = 1\nshards = 2\n"), HasSubstr("x.toml:2: not TOML"));
}

TEST(ConfigTest, AKeyThatIsRefusedChangesNothing) {
    Config config;
    EXPECT_FALSE(apply_toml(config, "shards = 99", "x.toml").ok());
    EXPECT_EQ(config.shards, 0u);
    EXPECT_TRUE(config.origins.empty());
}

TEST(ConfigTest, ListeningBeyondLoopbackNeedsTheSwitch) {
    for (const char* key : {"client_address", "peer_address", "http_address"}) {
        Config config;
        ASSERT_TRUE(apply_toml(config, std::string(key) + " = '10.0.0.1:4000'", "x.toml").ok());
        EXPECT_THAT(std::string(check_config(config).message()),
                    AllOf(HasSubstr("x.toml:1"), HasSubstr(key), HasSubstr("insecure_listen")));
        config.insecure_listen = true;
        EXPECT_TRUE(check_config(config).ok());
    }
}

TEST(ConfigTest, AWildcardAddressNeedsOneThatOthersCanReach) {
    Config config;
    ASSERT_TRUE(
        apply_toml(config, "insecure_listen = true\nclient_address = '0.0.0.0:4000'\n", "x.toml")
            .ok());
    EXPECT_THAT(std::string(check_config(config).message()),
                AllOf(HasSubstr("x.toml:2"), HasSubstr("client_advertised_address")));
    config.client_advertised_address = "10.0.0.1:4000";
    EXPECT_TRUE(check_config(config).ok());
}

TEST(ConfigTest, TheDefaultDeadlineMayNotExceedTheLargest) {
    Config config;
    ASSERT_TRUE(apply_toml(config, "deadline_default = '40s'\n", "x.toml").ok());
    EXPECT_THAT(std::string(check_config(config).message()),
                HasSubstr("x.toml:1: key 'deadline_default'"));
}

TEST(ConfigTest, TheLargestDeadlineMayNotFallBelowTheDefault) {
    Config config;
    ASSERT_TRUE(apply_toml(config, "deadline_max = '1s'\n", "x.toml").ok());
    EXPECT_THAT(std::string(check_config(config).message()),
                AllOf(HasSubstr("x.toml:1: key 'deadline_max'"), HasSubstr("2000 ms")));
    ASSERT_TRUE(apply_toml(config, "deadline_default = '1s'\n", "x.toml").ok());
    EXPECT_TRUE(check_config(config).ok());
}

TEST(ConfigTest, EveryDefaultIsAValueThatItsKeyAccepts) {
    for (const ConfigKey& key : config_keys()) {
        EXPECT_FALSE(key.expected.empty()) << key.name;
        EXPECT_EQ(find_config_key(key.name), &key) << "named twice: " << key.name;
        Config config;
        EXPECT_FALSE(key.set(config, ConfigValue(2.5))) << key.name << " takes no fraction";
    }
}

TEST(ConfigTest, TheFilesInConfAreAcceptedWhole) {
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(STARLING_CONF_DIRECTORY)) {
        if (entry.path().extension() != ".toml") {
            continue;
        }
        std::ifstream file(entry.path());
        const std::string text(std::istreambuf_iterator<char>(file), {});
        Config config;
        const absl::Status status = apply_toml(config, text, entry.path().filename());
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_TRUE(check_config(config).ok()) << entry.path();
        ++files;
    }
    EXPECT_EQ(files, 4u);
}

TEST(DescriptorsTest, TheDoorsTakeAtMostHalfOfTheDescriptors) {
    Config config;
    EXPECT_FALSE(fit_connections(config, 20'000));
    EXPECT_EQ(config.grpc.connections_max, 1024u);
    EXPECT_TRUE(fit_connections(config, 256));
    EXPECT_LE(config.grpc.connections_max + config.http.connections_max, 128u);
    EXPECT_GE(config.grpc.connections_max, 64u);
    EXPECT_TRUE(fit_connections(config, 8));
    EXPECT_GE(config.grpc.connections_max, 1u);
}

}  // namespace
}  // namespace starling::node
