#include "client/cli/secret.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "gtest/gtest.h"

#include "client/cli/dev_folder.h"
#include "env/posix/file_system.h"

namespace starling::client {
namespace {

class OneAfterAnother final : public env::Random {
  public:
    uint64_t next() override { return ++last_; }

  private:
    uint64_t last_ = 0;
};

// A home with a secret, and a folder with a dev cluster.
class FindSecretTest : public testing::Test {
  protected:
    FindSecretTest() {
        std::string pattern = testing::TempDir() + "/starling_secret_XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        variables_["HOME"] = folder_ + "/home";
        write(folder_ + "/home/.starling/cluster_secret", "of the home");
        cluster_ = {.folder = folder_ + "/starling-dev", .node_count = 3};
        std::filesystem::create_directories(cluster_.folder);
        OneAfterAnother random;
        EXPECT_TRUE(write_dev_cluster(files_, random, cluster_).ok());
        write(DevCluster::secret_path(cluster_.folder), "of the dev cluster");
    }
    ~FindSecretTest() override { std::filesystem::remove_all(folder_); }

    static void write(const std::string& path, const std::string& content) {
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path) << content << "\n";
    }
    absl::StatusOr<std::string> find(const std::string& peer_address) {
        std::istringstream in;
        std::ostringstream out;
        const Terminal terminal{.in = in,
                                .out = out,
                                .err = out,
                                .variable = [this](const char* name) { return variables_[name]; },
                                .working_directory = folder_,
                                .executable = ""};
        return find_secret(files_, terminal, arguments_, peer_address);
    }

    std::string folder_;
    std::map<std::string, std::string> variables_;
    Arguments arguments_;
    DevCluster cluster_;
    env::PosixFileSystem files_;
};

TEST_F(FindSecretTest, ANodeOfTheDevClusterHasThatClustersSecret) {
    const auto secret = find(cluster_.peer_address(2));
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ(*secret, "of the dev cluster");
}

TEST_F(FindSecretTest, AnotherNodeHasTheSecretOfTheHomeAlthoughADevClusterIsInThisFolder) {
    const auto secret = find("127.0.0.1:4002");
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ(*secret, "of the home");
    EXPECT_EQ(*find(cluster_.peer_address(4)), "of the home");
}

TEST_F(FindSecretTest, ANamedFileComesBeforeBoth) {
    write(folder_ + "/named", "of the variable");
    variables_["STARLING_CLUSTER_SECRET_FILE"] = folder_ + "/named";
    EXPECT_EQ(*find(cluster_.peer_address(1)), "of the variable");
    write(folder_ + "/given", "of the option");
    arguments_.secret_file = folder_ + "/given";
    EXPECT_EQ(*find(cluster_.peer_address(1)), "of the option");
}

TEST_F(FindSecretTest, WithoutAnyTheMissingFileIsNamed) {
    std::filesystem::remove_all(folder_ + "/home");
    const auto secret = find("127.0.0.1:4002");
    ASSERT_FALSE(secret.ok());
    EXPECT_NE(secret.status().message().find(".starling/cluster_secret"), std::string::npos);
}

}  // namespace
}  // namespace starling::client
