// The program starling-storage, run against small directories.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/encrypted/file_system.h"
#include "env/posix/file_system.h"
#include "env/posix/random.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Ran {
    int code = 0;
    // Of both streams.
    std::string output;
};

// `variables`: NAME=VALUE, for the tool's environment.
Ran run(const std::string& arguments, const std::string& variables = "") {
    const std::string command =
        fmt::format("{} '{}' {} 2>&1", variables, STARLING_STORAGE_TOOL, arguments);
    Ran ran;
    FILE* const pipe = ::popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t count = 0; (count = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
        ran.output.append(buffer, count);
    }
    ran.code = WEXITSTATUS(::pclose(pipe));
    return ran;
}

class ToolTest : public testing::TestWithParam<std::string> {
  protected:
    ToolTest() {
        std::string pattern = testing::TempDir() + "storage_tool_XXXXXX";
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        directory = folder + "/data";
        EngineOptions options = small_options(GetParam());
        options.separate_value_bytes = 300;
        options.bitcask_file_bytes = 4096;
        QueueWorkers workers;
        auto engine = *open_engine(directory, options, environment(files, workers));
        for (int i = 0; i < 200; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:03}", i), std::string(i % 50 == 0 ? 400 : 60, 'v'));
            EXPECT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        EXPECT_TRUE(engine->sync().ok());
        workers.run_all();
        EXPECT_TRUE(engine->close().ok());
        engine = *open_engine(directory, options, environment(files, workers));
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(put(*engine, fmt::format("log\t{}", i), "in the log").ok());
            EXPECT_TRUE(engine->sync().ok());
        }
    }
    ~ToolTest() override { std::filesystem::remove_all(folder); }

    Ran run_on(const std::string& command, const std::string& options = "") {
        return run(fmt::format("{} '{}' {}", command, directory, options));
    }

    static void flip(const std::string& path, uint64_t offset) {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(offset));
        const auto byte = static_cast<char>(file.get() ^ 4);
        file.seekp(static_cast<std::streamoff>(offset));
        file.put(byte);
    }

    env::PosixFileSystem files;
    std::string folder;
    std::string directory;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         ToolTest,
                         testing::Values("lsm", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(ToolTest, AWholeDirectoryIsClean) {
    const Ran ran = run_on("verify");
    EXPECT_EQ(ran.code, 0) << ran.output;
    EXPECT_THAT(ran.output, AllOf(HasSubstr(" 0 damaged places\n"), Not(HasSubstr("note"))));
}

TEST_P(ToolTest, AFlippedByteOfEachFileIsNamedWithItsOffset) {
    std::set<std::string> kinds;
    const std::vector<std::string> names = *files.list(directory);
    for (const std::string& name : names) {
        const std::string path = directory + "/" + name;
        const uint64_t size = *files.file_size(path);
        if (name == "LOCK" || size == 0) {
            continue;
        }
        kinds.insert(
            name.substr(name.find_last_of('.') == std::string::npos ? 0 : name.find_last_of('.')));
        // Behind the header of the file, before its end.
        const uint64_t offset = std::min<uint64_t>(size / 2, 70);
        flip(path, offset);
        const Ran ran = run_on("verify");
        EXPECT_EQ(ran.code, 1) << name << ": " << ran.output;
        EXPECT_THAT(ran.output, HasSubstr(fmt::format("damage: {}: at offset ", path)));
        const Ran json = run_on("verify", "--output json");
        EXPECT_EQ(json.code, 1);
        EXPECT_THAT(json.output, HasSubstr(fmt::format("\"file\": \"{}\"", path)));
        flip(path, offset);
    }
    EXPECT_GE(kinds.size(), GetParam() == "lsm" ? 6u : 4u);
    EXPECT_EQ(run_on("verify").code, 0);
}

TEST_P(ToolTest, NoPartOfAFileThatNeverChangesGoesUnchecked) {
    const std::vector<std::string> names = *files.list(directory);
    std::set<std::string> kinds;
    for (const std::string& name : names) {
        const std::string kind = name.substr(std::min(name.size(), name.find_last_of('.')));
        if ((kind != ".table" && kind != ".values" && kind != ".hint") ||
            !kinds.insert(kind).second) {
            continue;
        }
        const std::string path = directory + "/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t offset = 1; offset < size; offset += size / 20) {
            flip(path, offset);
            const Ran ran = run_on("verify");
            EXPECT_EQ(ran.code, 1) << name << " byte " << offset << ": " << ran.output;
            EXPECT_THAT(ran.output, HasSubstr(fmt::format("damage: {}: at offset ", path)));
            flip(path, offset);
        }
    }
    EXPECT_EQ(kinds.size(), GetParam() == "lsm" ? 2u : 1u);
}

TEST_P(ToolTest, EveryDamagedPlaceIsNamedNotOnlyTheFirst) {
    size_t flipped = 0;
    const std::vector<std::string> names = *files.list(directory);
    for (const std::string& name : names) {
        if (name.ends_with(".table") || name.ends_with(".data")) {
            flip(directory + "/" + name, 70);
            ++flipped;
        }
    }
    ASSERT_GT(flipped, 2u);
    const Ran ran = run_on("verify");
    size_t named = 0;
    for (const std::string& name : names) {
        named +=
            ran.output.find(fmt::format("damage: {}/{}:", directory, name)) != std::string::npos
                ? 1u
                : 0u;
    }
    EXPECT_EQ(named, flipped) << ran.output;
}

TEST_P(ToolTest, AMissingFileIsNamed) {
    const std::vector<std::string> names = *files.list(directory);
    for (const std::string& name : names) {
        if (name.ends_with(".table") || name.ends_with(".data") || name.ends_with(".log")) {
            const std::string path = directory + "/" + name;
            std::filesystem::rename(path, folder + "/kept");
            const Ran ran = run_on("verify");
            EXPECT_EQ(ran.code, 1) << name << ": " << ran.output;
            EXPECT_THAT(ran.output, HasSubstr(path + ": at offset 0: the file is missing"));
            std::filesystem::rename(folder + "/kept", path);
        }
    }
}

TEST_P(ToolTest, ATornTailOfTheLogIsNoDamageButNoted) {
    std::string last;
    const std::vector<std::string> names = *files.list(directory);
    for (const std::string& name : names) {
        if (name.ends_with(".log") || name.ends_with(".data")) {
            last = directory + "/" + name;
        }
    }
    // Behind the records a file may be filled ahead with zeros.
    const std::string content = *env::read_file(files, last, 1 << 20);
    std::filesystem::resize_file(last, content.find_last_not_of('\0') - 2);
    const Ran ran = run_on("verify");
    EXPECT_EQ(ran.code, 0) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(fmt::format("note: {}: at offset ", last)));
}

TEST_P(ToolTest, AForeignFileIsNotedAndADirectoryInUseIsRefused) {
    ASSERT_TRUE(env::replace_file(files, directory + "/notes", "mine").ok());
    const Ran noted = run_on("verify");
    EXPECT_EQ(noted.code, 0) << noted.output;
    EXPECT_THAT(noted.output, HasSubstr("/notes"));
    const auto lock = files.lock(directory + "/LOCK");
    ASSERT_TRUE(lock.ok());
    const Ran refused = run_on("verify");
    EXPECT_EQ(refused.code, 65) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr("locked"));
}

TEST_P(ToolTest, InspectShowsEngineFormatAndFiles) {
    const Ran text = run_on("inspect");
    EXPECT_EQ(text.code, 0) << text.output;
    EXPECT_THAT(text.output, HasSubstr(fmt::format("engine {}\nformat 2\n", GetParam())));
    EXPECT_THAT(text.output, HasSubstr("file ENGINE  kind marker"));
    const Ran json = run_on("inspect", "--output json");
    EXPECT_EQ(json.code, 0);
    EXPECT_THAT(json.output, HasSubstr(fmt::format("\"engine\": \"{}\"", GetParam())));
    EXPECT_THAT(json.output, HasSubstr(GetParam() == "lsm" ? "\"level\": " : "\"merged\": "));
}

class LsmToolTest : public ToolTest {};

INSTANTIATE_TEST_SUITE_P(Engines, LsmToolTest, testing::Values("lsm"), [](const auto& tested) {
    return tested.param;
});

TEST_P(LsmToolTest, DumpShowsKeysAndValuesInOrder) {
    const Ran all = run_on("dump");
    EXPECT_EQ(all.code, 0) << all.output;
    EXPECT_EQ(std::count(all.output.begin(), all.output.end(), '\n'), 203);
    EXPECT_THAT(all.output, testing::StartsWith("key000\tvvvv"));
    EXPECT_EQ(run_on("dump", "--prefix log").output,
              "log\\t0\tin the log\nlog\\t1\tin the log\nlog\\t2\tin the log\n");
    EXPECT_EQ(run_on("dump", "--keys-only --limit 2").output, "key000\nkey001\n");
    EXPECT_EQ(run_on("dump", "--prefix log --limit 1 --hex").output,
              "6c6f670930\t696e20746865206c6f67\n");
    EXPECT_EQ(run_on("dump", "--prefix log --limit 1 --output json").output,
              "{\"key\":\"log\\\\t0\",\"value\":\"in the log\"}\n");
}

TEST_P(LsmToolTest, NothingInTheDirectoryChanges) {
    const auto listing = [&] {
        std::map<std::string, std::string> result;
        const auto names = files.list(directory);
        for (const std::string& name : *names) {
            result[name] = *env::read_file(files, directory + "/" + name, 1 << 20);
        }
        return result;
    };
    const auto before = listing();
    for (const char* command : {"inspect", "verify", "dump", "stats"}) {
        EXPECT_EQ(run_on(command).code, 0) << command;
    }
    EXPECT_EQ(listing(), before);
}

TEST_P(LsmToolTest, StatsAreLinesOrJson) {
    EXPECT_THAT(run_on("stats").output, HasSubstr("\ndisk_bytes "));
    EXPECT_THAT(run_on("stats", "--output json").output, HasSubstr("\"disk_bytes\": "));
}

TEST_P(LsmToolTest, AMistakeOnTheCommandLineIsNamed) {
    EXPECT_EQ(run("").code, 64);
    EXPECT_EQ(run("verify").code, 64);
    EXPECT_EQ(run("repair /data").code, 64);
    EXPECT_EQ(run_on("inspect", "--output xml").code, 64);
    EXPECT_EQ(run_on("verify", "--hex").code, 64);
    EXPECT_EQ(run("--help").code, 0);
    const Ran missing = run(fmt::format("verify '{}/nothing'", folder));
    EXPECT_EQ(missing.code, 65);
    EXPECT_THAT(missing.output, HasSubstr("/nothing"));
}

// A directory as a node with an encryption key writes it, and three keys, of which it has the
// first.
class EncryptedToolTest : public testing::TestWithParam<std::string> {
  protected:
    EncryptedToolTest() {
        std::string pattern = testing::TempDir() + "storage_key_XXXXXX";
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        directory = folder + "/data";
        for (int number = 1; number <= 3; ++number) {
            EXPECT_TRUE(env::replace_file(files, key_file(number), key(number) + "\n").ok());
        }
        fill(*env::load_master_key(files, key_file(1)), directory);
    }
    ~EncryptedToolTest() override { std::filesystem::remove_all(folder); }

    static std::string key(int number) { return fmt::format("{:064x}", 0xabc000 + number); }
    std::string key_file(int number) const { return fmt::format("{}/key{}", folder, number); }

    void fill(std::optional<env::MasterKey> master, const std::string& where) {
        std::optional<env::EncryptedFileSystem> encrypted;
        if (master.has_value()) {
            encrypted.emplace(files, random, env::KeyRing(*master));
        }
        env::FileSystem& chosen =
            encrypted.has_value() ? static_cast<env::FileSystem&>(*encrypted) : files;
        QueueWorkers workers;
        auto engine =
            *open_engine(where, small_options(GetParam()), storage::environment(chosen, workers));
        for (int i = 0; i < 100; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:03}", i), "canary" + std::string(60, 'v'));
            EXPECT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        workers.run_all();
        EXPECT_TRUE(engine->close().ok());
    }
    Ran run_on(const std::string& command,
               const std::string& options = "",
               const std::string& variables = "") {
        return run(fmt::format("{} '{}' {}", command, directory, options), variables);
    }
    Ran run_with(int number, const std::string& command) {
        return run_on(command, fmt::format("--key-file '{}'", key_file(number)));
    }
    Ran change(int from, int to) {
        return run_on(
            "change-key",
            fmt::format("--key-file '{}' --new-key-file '{}'", key_file(from), key_file(to)));
    }
    std::map<std::string, std::string> listing() {
        std::map<std::string, std::string> result;
        for (const auto& entry : std::filesystem::directory_iterator(directory)) {
            result[entry.path().filename()] =
                *env::read_file(files, entry.path().string(), 1 << 20);
        }
        return result;
    }

    env::PosixFileSystem files;
    env::PosixRandom random;
    std::string folder;
    std::string directory;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         EncryptedToolTest,
                         testing::Values("lsm", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EncryptedToolTest, EachCommandReadsWithTheKeyFromAFileOrTheEnvironment) {
    for (const char* command : {"inspect", "verify", "dump", "stats"}) {
        const Ran ran = run_with(1, command);
        EXPECT_EQ(ran.code, 0) << command << ": " << ran.output;
        EXPECT_EQ(
            run_on(command, "", fmt::format("{}={}", env::master_key_variable, key(1))).output,
            ran.output);
    }
    EXPECT_THAT(run_with(1, "dump").output, HasSubstr("key099\tcanaryvvv"));
}

TEST_P(EncryptedToolTest, WithoutTheKeyOrWithAWrongOneEachIsRefusedAndNothingChanges) {
    const auto before = listing();
    const std::string marker = directory + "/ENGINE: ";
    for (const char* command : {"inspect", "verify", "dump", "stats"}) {
        const Ran without = run_on(command);
        EXPECT_EQ(without.code, 65) << command;
        EXPECT_THAT(without.output, HasSubstr(marker + "is encrypted")) << command;
        const Ran wrong = run_with(2, command);
        EXPECT_EQ(wrong.code, 65) << command;
        EXPECT_THAT(wrong.output, HasSubstr(marker + "encrypted under master key")) << command;
    }
    const Ran change_without = run_on("change-key", fmt::format("--new-key-file {}", key_file(2)));
    EXPECT_EQ(change_without.code, 65);
    EXPECT_THAT(change_without.output, HasSubstr(env::master_key_variable));
    EXPECT_EQ(change(2, 3).code, 65);
    const Ran empty = run_on("dump", "", fmt::format("{}=", env::master_key_variable));
    EXPECT_EQ(empty.code, 65) << "a variable that is set and empty is a mistake";
    EXPECT_THAT(empty.output, HasSubstr("64 hexadecimal digits"));
    EXPECT_EQ(listing(), before);
}

TEST_P(EncryptedToolTest, AKeyOnADirectoryThatIsNotEncryptedIsRefusedAndNothingChanges) {
    directory = folder + "/plain";
    fill(std::nullopt, directory);
    const auto before = listing();
    for (const char* command : {"inspect", "verify", "dump", "stats"}) {
        const Ran ran = run_with(1, command);
        EXPECT_EQ(ran.code, 65) << command;
        EXPECT_THAT(ran.output, HasSubstr(directory + "/ENGINE: is not encrypted")) << command;
    }
    EXPECT_EQ(change(1, 2).code, 65);
    EXPECT_EQ(listing(), before);
    EXPECT_EQ(run_on("verify").code, 0);
}

TEST_P(EncryptedToolTest, TheMasterKeyIsChangedWithoutWritingDataAnew) {
    const std::string dumped = run_with(1, "dump").output;
    auto before = listing();
    const Ran changed = change(1, 2);
    EXPECT_EQ(changed.code, 0) << changed.output;
    for (const auto& [name, content] : listing()) {
        EXPECT_TRUE(name == "ENGINE"        ? before[name] != content
                    : before.contains(name) ? before[name] == content
                                            : name.ends_with(".filekey") && content.size() == 104)
            << name;
    }
    EXPECT_EQ(run_with(2, "dump").output, dumped);
    EXPECT_EQ(run_with(2, "verify").code, 0);
    const Ran old_key = run_with(1, "dump");
    EXPECT_EQ(old_key.code, 65);
    EXPECT_THAT(old_key.output, HasSubstr("/ENGINE: encrypted under master key"));
    // Once more is no change, and so goes on after an interruption.
    before = listing();
    EXPECT_EQ(change(1, 2).code, 0);
    EXPECT_EQ(listing(), before);
    // Further, and with what is written between.
    fill(*env::load_master_key(files, key_file(2)), directory);
    EXPECT_EQ(change(2, 3).code, 0);
    EXPECT_EQ(run_with(3, "dump").output, dumped);
    EXPECT_EQ(run_with(2, "dump").code, 65);
}

TEST_P(EncryptedToolTest, ADirectoryInUseKeepsItsKey) {
    const auto before = listing();
    const auto lock = files.lock(directory + "/LOCK");
    ASSERT_TRUE(lock.ok());
    const Ran refused = change(1, 2);
    EXPECT_EQ(refused.code, 65);
    EXPECT_THAT(refused.output, HasSubstr("locked"));
    EXPECT_EQ(listing(), before);
}

}  // namespace
}  // namespace starling::storage
