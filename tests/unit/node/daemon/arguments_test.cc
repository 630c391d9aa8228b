#include "node/daemon/arguments.h"

#include <vector>

#include "gmock/gmock.h"

#include "node/daemon/exit_codes.h"

namespace starling::node {
namespace {

using testing::HasSubstr;

std::optional<int> parse(std::vector<const char*> words, Arguments& arguments) {
    words.insert(words.begin(), "starlingd");
    return parse_arguments(static_cast<int>(words.size()), words.data(), arguments);
}

TEST(ArgumentsTest, NoArgumentsMeanAStandaloneNode) {
    Arguments arguments;
    ASSERT_EQ(parse({}, arguments), std::nullopt);
    const auto config = make_config(arguments, "");
    ASSERT_TRUE(config.ok());
    EXPECT_EQ(config->client_address, "127.0.0.1:4000");
    EXPECT_EQ(config->node.data_directory, "./starling-data");
    EXPECT_EQ(config->node.engine, "lsm");
}

TEST(ArgumentsTest, OptionsStandOverTheFile) {
    Arguments arguments;
    ASSERT_EQ(parse({"--addr",
                     "127.0.0.1:0",
                     "--engine",
                     "in_memory",
                     "--data-dir",
                     "/tmp/x",
                     "--encryption-key-file",
                     "/tmp/key",
                     "--peer-addr",
                     "127.0.0.1:1",
                     "--http-addr",
                     "127.0.0.1:2",
                     "--log-format",
                     "json",
                     "--log-level",
                     "error"},
                    arguments),
              std::nullopt);
    const auto config =
        make_config(arguments, "client_address = '127.0.0.1:9'\nengine = 'lsm'\nzone = 'a'\n");
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->client_address, "127.0.0.1:0");
    EXPECT_EQ(config->node.engine, "in_memory");
    EXPECT_EQ(config->node.data_directory, "/tmp/x");
    EXPECT_EQ(config->encryption_key_file, "/tmp/key");
    EXPECT_EQ(config->peer_address, "127.0.0.1:1");
    EXPECT_EQ(config->http_address, "127.0.0.1:2");
    EXPECT_EQ(config->log_format, LogFormat::json);
    EXPECT_EQ(config->log_level, "error");
    EXPECT_EQ(config->node.zone, "a");
}

TEST(ArgumentsTest, VersionAndHelpEndWithSuccess) {
    for (const char* option : {"-V", "--version", "--help"}) {
        Arguments arguments;
        EXPECT_EQ(parse({option}, arguments), exit_ok) << option;
    }
}

TEST(ArgumentsTest, WhatIsNotUnderstoodIsAUsageError) {
    for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
             {"--nonsense"}, {"operand"}, {"--addr"}, {"--config-path"}}) {
        Arguments arguments;
        EXPECT_EQ(parse(words, arguments), exit_usage) << words[0];
    }
}

TEST(ArgumentsTest, ABadOptionValueNamesTheOptionAndAMistakeInTheFileTheLine) {
    Arguments arguments;
    ASSERT_EQ(parse({"--engine", "sled"}, arguments), std::nullopt);
    const auto bad_option = make_config(arguments, "");
    EXPECT_TRUE(absl::IsOutOfRange(bad_option.status()));
    EXPECT_THAT(std::string(bad_option.status().message()), HasSubstr("--engine: expected one of"));

    arguments = {};
    arguments.config_path = "some.toml";
    const auto bad_file = make_config(arguments, "nonsense = 1");
    EXPECT_TRUE(absl::IsInvalidArgument(bad_file.status()));
    EXPECT_THAT(std::string(bad_file.status().message()), HasSubstr("some.toml:1"));
}

TEST(ArgumentsTest, AnExposedAddressOnTheCommandLineIsNamedByItsOption) {
    Arguments arguments;
    ASSERT_EQ(parse({"--addr", "10.0.0.1:4000"}, arguments), std::nullopt);
    EXPECT_THAT(std::string(make_config(arguments, "").status().message()),
                HasSubstr("--addr: key"));
}

}  // namespace
}  // namespace starling::node
