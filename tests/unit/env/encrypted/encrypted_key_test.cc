// Master keys: where they come from, the wrong one, and changing it.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "env/posix/file_system.h"
#include "tests/unit/env/encrypted/encrypted_test_support.h"

namespace starling::env {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string hex = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const std::string secret_word = "s3cr3t";

std::string bytes_of_hex() {
    std::string bytes;
    for (char c = 0; c < 32; ++c) {
        bytes += c;
    }
    return bytes;
}

TEST(MasterKeyTest, TextIsSixtyFourHexadecimalDigits) {
    for (const std::string& text : {hex, hex + "\n", "  " + hex + "\r\n"}) {
        const auto key = parse_master_key(text, "STARLING_KEY");
        ASSERT_OK(key);
        EXPECT_EQ(key->key().bytes(), bytes_of_hex());
    }
    for (const std::string& text : {std::string(),
                                    secret_word,
                                    hex.substr(1),
                                    hex + "0",
                                    "g" + hex.substr(1),
                                    hex.substr(0, 30) + " " + hex.substr(31),
                                    std::string(64, '0')}) {
        const absl::Status status = parse_master_key(text, "STARLING_KEY").status();
        EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
        EXPECT_THAT(std::string(status.message()), HasSubstr("STARLING_KEY"));
        EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret_word)));
    }
}

TEST(MasterKeyTest, AnIdFollowsFromTheKeyAndDoesNotShowIt) {
    const MasterKey key = *parse_master_key(hex, "key");
    EXPECT_EQ(to_string(key.id()), to_string(parse_master_key(hex, "again")->id()));
    EXPECT_NE(key.id(), master_key(1).id());
    EXPECT_EQ(to_string(key.id()).size(), 16U);
    EXPECT_THAT(hex, Not(HasSubstr(to_string(key.id()))));
}

class KeyFileTest : public ::testing::Test {
  protected:
    void write_key(std::string_view content, std::filesystem::perms mode) {
        std::ofstream(path_) << content;
        std::filesystem::permissions(path_, mode);
    }

    static constexpr auto own = std::filesystem::perms::owner_read;
    TemporaryDirectory directory_;
    const std::string path_ = directory_.path() + "/key";
    PosixFileSystem files_;
};

TEST_F(KeyFileTest, AFileHasTheBytesOrTheDigits) {
    for (const std::string& content : {bytes_of_hex(), hex, hex + "\n"}) {
        std::filesystem::remove(path_);
        write_key(content, own);
        const auto key = load_master_key(files_, path_);
        ASSERT_OK(key);
        EXPECT_EQ(key->key().bytes(), bytes_of_hex());
    }
    for (const std::string& content :
         {std::string(), secret_word, hex + hex, std::string(32, '\0'), std::string(1000, 'x')}) {
        std::filesystem::remove(path_);
        write_key(content, own);
        const absl::Status status = load_master_key(files_, path_).status();
        EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsOutOfRange(status)) << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
        EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret_word)));
    }
    std::filesystem::remove(path_);
    EXPECT_TRUE(absl::IsNotFound(load_master_key(files_, path_).status()));
}

TEST_F(KeyFileTest, AKeyThatOthersMayReadIsRefused) {
    using std::filesystem::perms;
    write_key(hex, own);
    for (const perms more : {perms::group_read, perms::others_read, perms::group_write}) {
        std::filesystem::permissions(path_, own | more);
        const absl::Status status = load_master_key(files_, path_).status();
        EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr("chmod 600"));
    }
}

TEST_F(KeyFileTest, TheFileThatIsNamedStandsOverTheEnvironment) {
    const std::string other = std::string(60, 'a') + "0123";
    write_key(hex, std::filesystem::perms(0600));
    const auto id = [&](const MasterKeyPlaces& places) {
        const auto key = find_master_key(files_, places);
        return !key.ok()          ? key.status().ToString()
               : key->has_value() ? to_string((*key)->id())
                                  : "none";
    };
    const std::string of_file = to_string(parse_master_key(hex, "")->id());
    EXPECT_EQ(id({.file = path_, .from_environment = other}), of_file);
    EXPECT_EQ(id({.file = path_, .from_environment = {}}), of_file);
    EXPECT_EQ(id({.file = "", .from_environment = other}),
              to_string(parse_master_key(other, "")->id()));
    EXPECT_EQ(id({.file = "", .from_environment = {}}), "none");
    EXPECT_THAT(id({.file = "", .from_environment = ""}), HasSubstr(master_key_variable))
        << "set and empty is a mistake";
    EXPECT_THAT(id({.file = path_ + "x", .from_environment = other}), HasSubstr(path_ + "x"));
}

TEST(FileKeysTest, EachFileHasAnIdAndAKeyOfItsOwn) {
    SimFileSystem disk;
    SeededRandom seeded(1);
    SharedRandom random(seeded);
    const FileKeys keys(disk, random, KeyRing(master_key(1)));
    std::string header;
    const FileKey first = keys.make(header);
    const FileKey second = keys.make(header);
    EXPECT_NE(first.id, second.id);
    EXPECT_NE(first.data_key.bytes(), second.data_key.bytes());
    EXPECT_EQ(header.find(second.data_key.bytes()), std::string::npos);
}

class KeyRotationTest : public ::testing::Test {
  protected:
    KeyRotationTest() {
        EXPECT_OK(write_file(files_, "/data/file", "content"));
        EXPECT_OK(world_.disk.create_directory("/data/other"));
    }

    void use(KeyRing ring) { files_.set_key_ring(std::move(ring)); }
    std::vector<std::string> raw_list(const std::string& path) { return *world_.disk.list(path); }

    EncryptedSimWorld world_;
    EncryptedFileSystem& files_ = world_.files;
};

TEST_F(KeyRotationTest, AnUnknownMasterKeyIsNamed) {
    use(KeyRing(master_key(2)));
    for (const absl::Status& status : {files_.open_for_read("/data/file").status(),
                                       files_.open_for_append("/data/file").status(),
                                       files_.file_size("/data/file").status(),
                                       files_.truncate("/data/file", 1),
                                       files_.rewrap("/data/file")}) {
        EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr("/data/file"));
        EXPECT_THAT(std::string(status.message()), HasSubstr(to_string(master_key(1).id())));
    }
    EXPECT_TRUE(*files_.is_encrypted("/data/file"));
    use(KeyRing(master_key(1)));
    EXPECT_EQ(content_of(files_, "/data/file"), "content");
}

TEST_F(KeyRotationTest, NewFilesUseTheCurrentKeyAndOldOnesStayReadable) {
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(write_file(files_, "/data/new", "new"));
    EXPECT_EQ(content_of(files_, "/data/file"), "content");
    use(KeyRing(master_key(2)));
    EXPECT_EQ(content_of(files_, "/data/new"), "new");
}

TEST_F(KeyRotationTest, RewrappingNeedsNoDataAndThenNoOldKey) {
    const std::string raw = content_of(world_.disk, "/data/file");
    for (char key = 2; key < 5; ++key) {
        use(KeyRing(master_key(key), {master_key(static_cast<char>(key - 1))}));
        EXPECT_OK(files_.rewrap("/data/file"));
        use(KeyRing(master_key(key)));
        EXPECT_EQ(content_of(files_, "/data/file"), "content");
        EXPECT_EQ(content_of(world_.disk, "/data/file"), raw);
        EXPECT_THAT(*files_.list("/data"), ElementsAre("file", "other"));
        EXPECT_EQ(raw_list("/data").size(), 3U);
    }
    use(KeyRing(master_key(3)));
    const absl::Status status = files_.open_for_read("/data/file").status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr(to_string(master_key(4).id())));
}

TEST_F(KeyRotationTest, ARewrapThatIsNotNeededWritesNothing) {
    EXPECT_OK(files_.rewrap("/data/file"));
    EXPECT_EQ(raw_list("/data").size(), 2U);
    EXPECT_OK(files_.lock("/data/LOCK").status());
    EXPECT_OK(files_.rewrap("/data/LOCK"));
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    world_.disk.faults().fail_next(FileOperation::write);
    EXPECT_OK(files_.rewrap("/data/file"));
}

TEST_F(KeyRotationTest, AWriterGoesOnWhileItsFileIsRewrapped) {
    auto file = *files_.open_for_append("/data/file");
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    EXPECT_OK(file->append(" goes on"));
    EXPECT_OK(file->close());
    use(KeyRing(master_key(2)));
    EXPECT_EQ(content_of(files_, "/data/file"), "content goes on");
}

TEST_F(KeyRotationTest, RenamesAndLinksTakeTheKeyAlong) {
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    use(KeyRing(master_key(2)));
    EXPECT_OK(files_.rename("/data/file", "/data/renamed"));
    EXPECT_EQ(content_of(files_, "/data/renamed"), "content");
    EXPECT_OK(files_.link("/data/renamed", "/data/other/link"));
    EXPECT_EQ(content_of(files_, "/data/other/link"), "content");
    EXPECT_OK(files_.remove("/data/other/link"));
    EXPECT_OK(files_.rename("/data/renamed", "/data/other/moved"));
    EXPECT_EQ(content_of(files_, "/data/other/moved"), "content");
    EXPECT_THAT(*files_.list("/data/other"), ElementsAre("moved"));
    EXPECT_OK(files_.remove("/data/other/moved"));
    EXPECT_OK(files_.remove("/data/other"));
}

TEST_F(KeyRotationTest, ADirectoryWithFilesInItIsNotRemoved) {
    EXPECT_OK(write_file(files_, "/data/other/file", "x"));
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/other/file"));
    EXPECT_TRUE(absl::IsFailedPrecondition(files_.remove("/data/other")));
    use(KeyRing(master_key(2)));
    EXPECT_EQ(content_of(files_, "/data/other/file"), "x");
}

TEST_F(KeyRotationTest, AReplacedFileKeepsItsKeyUntilItIsGone) {
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    EXPECT_OK(world_.disk.sync_directory("/data"));
    EXPECT_OK(replace_file(files_, "/data/file", "replaced"));
    use(KeyRing(master_key(2)));
    EXPECT_EQ(content_of(files_, "/data/file"), "replaced");
    EXPECT_EQ(raw_list("/data").size(), 3U);
    EXPECT_OK(files_.remove_unused_keys("/data"));
    EXPECT_EQ(raw_list("/data").size(), 2U);
    EXPECT_EQ(content_of(files_, "/data/file"), "replaced");
}

TEST_F(KeyRotationTest, UnusedKeysGoAndUsedOnesStay) {
    EXPECT_OK(write_file(files_, "/data/second", "second"));
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    EXPECT_OK(files_.rewrap("/data/second"));
    EXPECT_OK(files_.remove("/data/second"));
    EXPECT_OK(files_.remove_unused_keys("/data"));
    EXPECT_EQ(raw_list("/data").size(), 3U);
    use(KeyRing(master_key(2)));
    EXPECT_EQ(content_of(files_, "/data/file"), "content");
}

// On real files, since the simulated ones know one thread only.
TEST(KeyRotationThreadsTest, UnusedKeysAreRemovedBesideRenamesAndLinksThatTakeKeysAlong) {
    TemporaryDirectory directory;
    PosixFileSystem disk;
    SeededRandom random(1);
    EncryptedFileSystem files(disk, random, KeyRing(master_key(1)));
    const std::string data = directory.path() + "/data";
    const std::string other = directory.path() + "/other";
    EXPECT_OK(disk.create_directory(data));
    EXPECT_OK(disk.create_directory(other));
    EXPECT_OK(write_file(files, other + "/file", "content"));
    EXPECT_OK(write_file(files, data + "/a", "moves"));
    files.set_key_ring(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files.rewrap(other + "/file"));
    EXPECT_OK(files.rewrap(data + "/a"));
    files.set_key_ring(KeyRing(master_key(2)));
    std::atomic<bool> done = false;
    std::thread sweeper([&] {
        while (!done) {
            EXPECT_OK(files.remove_unused_keys(data));
        }
    });
    for (int i = 0; i < 200 && !HasFailure(); ++i) {
        EXPECT_OK(files.link(other + "/file", data + "/link"));
        EXPECT_EQ(content_of(files, data + "/link"), "content") << i;
        EXPECT_OK(files.remove(data + "/link"));
        EXPECT_OK(files.rename(data + "/a", data + "/z"));
        EXPECT_OK(files.rename(data + "/z", data + "/a"));
        EXPECT_EQ(content_of(files, data + "/a"), "moves") << i;
    }
    done = true;
    sweeper.join();
}

TEST_F(KeyRotationTest, EveryFlippedBitOfAKeyFileIsFound) {
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    use(KeyRing(master_key(2)));
    const std::string key_path = "/data/" + raw_list("/data").front();
    ASSERT_TRUE(is_key_file_path(key_path));
    for (uint64_t at = 0; at < file_header_bytes; ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            EXPECT_OK(world_.disk.flip_bit(key_path, at, bit));
            const absl::Status status = files_.open_for_read("/data/file").status();
            ASSERT_FALSE(status.ok()) << at;
            ASSERT_THAT(std::string(status.message()), HasSubstr(key_path));
            EXPECT_OK(world_.disk.flip_bit(key_path, at, bit));
        }
    }
    EXPECT_EQ(content_of(files_, "/data/file"), "content");
}

TEST_F(KeyRotationTest, AKeyFileDoesNotOpenAnotherFile) {
    EXPECT_OK(write_file(files_, "/data/second", "second"));
    use(KeyRing(master_key(2), {master_key(1)}));
    EXPECT_OK(files_.rewrap("/data/file"));
    EXPECT_OK(files_.rewrap("/data/second"));
    use(KeyRing(master_key(2)));
    std::vector<std::string> keys;
    for (const std::string& name : raw_list("/data")) {
        if (is_key_file_name(name)) {
            keys.push_back("/data/" + name);
        }
    }
    ASSERT_EQ(keys.size(), 2U);
    EXPECT_OK(world_.disk.rename(keys[0], keys[1]));
    EXPECT_FALSE(files_.open_for_read("/data/file").ok());
    EXPECT_FALSE(files_.open_for_read("/data/second").ok());
}

TEST_F(KeyRotationTest, NamesOfKeyFilesAreNotForOtherFiles) {
    const std::string name = "/data/" + std::string(32, 'a') + ".filekey";
    for (const std::string& path : {name, name + ".tmp"}) {
        EXPECT_TRUE(absl::IsInvalidArgument(files_.create(path).status()));
        EXPECT_TRUE(absl::IsInvalidArgument(files_.open_for_append(path).status()));
        EXPECT_TRUE(absl::IsInvalidArgument(files_.rename("/data/file", path)));
        EXPECT_TRUE(absl::IsInvalidArgument(files_.link("/data/file", path)));
        EXPECT_TRUE(absl::IsInvalidArgument(files_.recycle("/data/file", path).status()));
    }
    EXPECT_OK(files_.create("/data/mine.filekey").status());
}

}  // namespace
}  // namespace starling::env
