#include "node/daemon/secret.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include <sys/stat.h>
#include <unistd.h>

#include "env/posix/file_system.h"
#include "env/posix/random.h"

namespace starling::node {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class SecretTest : public testing::Test {
  protected:
    SecretTest() {
        std::string pattern = testing::TempDir() + "secretXXXXXX";
        home_ = ::mkdtemp(pattern.data());
    }
    ~SecretTest() override { std::filesystem::remove_all(home_); }

    absl::StatusOr<std::string> load(const SecretPlaces& places) {
        env::PosixRandom random;
        return load_secret(
            files_, random, places, [this](std::string_view line) { logged_ += line; });
    }
    std::string write(const std::string& name, const std::string& content, mode_t mode) {
        const std::string path = home_ + "/" + name;
        std::ofstream(path) << content;
        ::chmod(path.c_str(), mode);
        return path;
    }
    static mode_t mode_of(const std::string& path) {
        struct stat info{};
        EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
        return info.st_mode & 07777;
    }

    env::PosixFileSystem files_;
    std::string home_;
    std::string logged_;
};

TEST_F(SecretTest, TheFirstUseMakesOneThatOnlyItsOwnerMayReadAndLaterUsesKeepIt) {
    const auto made = load({.configured = "", .from_environment = "", .home = home_});
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(*made, MatchesRegex("[0-9a-f]{64}"));
    EXPECT_EQ(mode_of(home_ + "/.starling"), 0700u);
    EXPECT_EQ(mode_of(home_ + "/.starling/cluster_secret"), 0600u);
    EXPECT_THAT(logged_, HasSubstr(".starling/cluster_secret"));
    EXPECT_EQ(logged_.find(*made), std::string::npos) << "the secret itself is never logged";
    logged_.clear();
    const auto again = load({.configured = "", .from_environment = "", .home = home_});
    EXPECT_EQ(*again, *made);
    EXPECT_EQ(logged_, "");
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(home_ + "/.starling")) {
        ++entries;
    }
    EXPECT_EQ(entries, 1u) << "no draft is left";
}

TEST_F(SecretTest, TwoThatMakeItAtOnceEndUpWithTheSame) {
    std::vector<std::string> secrets(8);
    std::vector<std::thread> threads;
    for (std::string& secret : secrets) {
        threads.emplace_back([this, &secret] {
            env::PosixRandom random;
            secret = *load_secret(files_,
                                  random,
                                  {.configured = "", .from_environment = "", .home = home_},
                                  [](std::string_view) {});
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const std::string& secret : secrets) {
        EXPECT_EQ(secret, secrets.front());
    }
}

TEST_F(SecretTest, TheConfiguredFileComesBeforeTheEnvironmentsAndThatBeforeTheHomes) {
    const std::string configured = write("a", "configured-secret-configured\n", 0600);
    const std::string environment = write("b", "environment-secret-environment\n", 0600);
    EXPECT_EQ(*load({configured, environment, home_}), "configured-secret-configured");
    EXPECT_EQ(*load({"", environment, home_}), "environment-secret-environment");
    EXPECT_FALSE(std::filesystem::exists(home_ + "/.starling"));
}

TEST_F(SecretTest, AFileThatOthersMayReadIsRefused) {
    for (const mode_t mode : {0640u, 0604u, 0660u}) {
        const std::string path = write("open", "a-secret-that-is-long-enough", mode);
        const auto secret = load({path, "", home_});
        EXPECT_TRUE(absl::IsFailedPrecondition(secret.status()));
        EXPECT_THAT(std::string(secret.status().message()), HasSubstr(path));
    }
}

TEST_F(SecretTest, AMissingOrShortSecretIsAnErrorThatNamesTheFile) {
    EXPECT_THAT(std::string(load({home_ + "/none", "", home_}).status().message()),
                HasSubstr(home_ + "/none"));
    const std::string path = write("short", "0123456789abcde\n", 0600);
    EXPECT_THAT(std::string(load({path, "", home_}).status().message()), HasSubstr("15 bytes"));
    EXPECT_TRUE(absl::IsNotFound(load({"", "", ""}).status()));
}

}  // namespace
}  // namespace starling::node
