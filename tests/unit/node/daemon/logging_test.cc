#include "node/daemon/logging.h"

#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

namespace starling::node {
namespace {

TEST(LoggingTest, AJsonLineIsOneLineWhateverTheMessageHolds) {
    const std::string line = to_json_line("t", "info", "a \"quoted\"\nline\x01 \xff");
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto parsed = nlohmann::json::parse(line);
    EXPECT_EQ(parsed["time"], "t");
    EXPECT_EQ(parsed["level"], "info");
    EXPECT_TRUE(parsed["message"].get<std::string>().starts_with("a \"quoted\"\nline\x01"));
}

TEST(LoggingTest, TextLinesEscapeWhatCouldForgeALine) {
    testing::internal::CaptureStderr();
    start_logging(LogFormat::text, "info");
    log_line("debug", "not shown");
    log_line("warning", "first\nforged");
    stop_logging();
    const std::string written = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 1);
    EXPECT_NE(written.find("warning first\\x0aforged"), std::string::npos) << written;
}

}  // namespace
}  // namespace starling::node
