// What the operating system has to say: a directory that two processes want, few file descriptors,
// things in the place of files. On real files.

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <new>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/storage/real_engine_test.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

class EngineProcessTest : public RealEngineTest {};
class DurableEngineProcessTest : public RealEngineTest {};

STARLING_FOR_EVERY_ENGINE(EngineProcessTest);
STARLING_FOR_EVERY_DURABLE_ENGINE(DurableEngineProcessTest);

TEST_P(EngineProcessTest, ASecondProcessIsRefusedUntilTheFirstIsGoneHoweverItEnds) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t first = ::fork();
    ASSERT_GE(first, 0);
    if (first == 0) {
        const auto engine = open();
        const bool good = engine.ok() && (*engine)->write(put_of("a", "1"), {.sync = true}).ok();
        const char answer = good ? 'y' : 'n';
        if (::write(ready[1], &answer, 1) == 1) {
            ::pause();
        }
        ::_exit(1);
    }
    char answer = 'n';
    ASSERT_EQ(::read(ready[0], &answer, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
    EXPECT_EQ(answer, 'y');
    EngineOptions read_only = options();
    read_only.read_only = true;
    for (const auto& with : {options(), read_only}) {
        const auto second = open(with);
        EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
        EXPECT_THAT(std::string(second.status().message()), HasSubstr(directory + "/LOCK"));
    }
    ASSERT_EQ(::kill(first, SIGKILL), 0);
    int result = 0;
    ASSERT_EQ(::waitpid(first, &result, 0), first);
    EXPECT_TRUE(WIFSIGNALED(result));
    const auto engine = open();
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_EQ(read(**engine, "a"), GetParam() == "in_memory" ? "(none)" : "1");
}

TEST_P(DurableEngineProcessTest, APipeOrADirectoryInThePlaceOfAFileIsNamedAndNotWaitedFor) {
    Model model;
    {
        const auto engine = *open();
        overwrite(*engine, workers, model, 150, 40, 70);
        workers.run_all();
        ASSERT_TRUE(engine->close().ok());
    }
    {
        const auto engine = *open();
        ASSERT_TRUE(engine->write(put_of("a", "1"), {.sync = true}).ok());
        model["a"] = "1";
    }
    const std::vector<std::string> names = *files.list(directory);
    for (const std::string& name : names) {
        for (const bool pipe : {true, false}) {
            const std::string path = directory + "/" + name;
            const std::string aside = root + "/aside";
            ASSERT_EQ(::rename(path.c_str(), aside.c_str()), 0);
            ASSERT_EQ(pipe ? ::mkfifo(path.c_str(), 0600) : ::mkdir(path.c_str(), 0700), 0);
            EngineOptions read_only = options();
            read_only.read_only = true;
            const auto engine = open(read_only);
            absl::Status status = engine.status();
            if (engine.ok()) {
                const auto found = contents(**engine);
                status = found.status();
                EXPECT_TRUE(!found.ok() || *found == model) << path;
            }
            EXPECT_TRUE(!status.ok() || name.ends_with(".hint")) << path;
            EXPECT_TRUE(status.ok() || status.message().find(path) != std::string_view::npos)
                << path << ": " << status;
            ASSERT_EQ(pipe ? ::unlink(path.c_str()) : ::rmdir(path.c_str()), 0);
            ASSERT_EQ(::rename(aside.c_str(), path.c_str()), 0);
        }
    }
    EXPECT_EQ(*contents(**open()), model);
}

// ---- descriptors

class DescriptorLimit {
  public:
    explicit DescriptorLimit(rlim_t limit) {
        EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
        const rlimit lower{.rlim_cur = limit, .rlim_max = before_.rlim_max};
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
    }
    ~DescriptorLimit() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

  private:
    rlimit before_{};
};

// More files than descriptors.
void fill_many_files(Engine& engine, QueueWorkers& workers, Model& model) {
    for (int i = 0; i < 3000; ++i) {
        const std::string key = fmt::format("key{:05}", i);
        const std::string value(90, 'v');
        ASSERT_TRUE(write_patiently(engine, workers, put_of(key, value)).ok());
        model[key] = value;
        if (i % 30 == 29) {
            ASSERT_TRUE(engine.sync().ok());
            workers.run_all();
        }
    }
}

EngineOptions many_files(EngineOptions options) {
    options.level_bytes_base = 1 << 20;
    options.compression = Compression::none;
    options.bitcask_file_bytes = 6000;
    return options;
}

TEST_P(DurableEngineProcessTest, SixtyFourDescriptorsDoForAnyNumberOfFiles) {
    EngineOptions with = many_files(options());
    with.open_tables_max = 40;
    const DescriptorLimit limit(64);
    Model model;
    const auto engine = *open(with);
    fill_many_files(*engine, workers, model);
    EXPECT_GT(files.list(directory)->size(), 75u);
    for (const auto& [key, value] : model) {
        ASSERT_EQ(read(*engine, key), value);
    }
    EXPECT_EQ(*contents(*engine), model);
    EXPECT_TRUE(engine->compact().ok());
    EXPECT_EQ(*contents(*engine), model);
    EXPECT_TRUE(engine->close().ok());
}

TEST_P(DurableEngineProcessTest, TooFewDescriptorsAreAnErrorThatSaysSoAndLoseNothing) {
    EngineOptions with = many_files(options());
    with.open_tables_max = 500;
    Model model;
    {
        const auto engine = *open(with);
        fill_many_files(*engine, workers, model);
        const DescriptorLimit limit(64);
        size_t refused = 0;
        for (const auto& [key, value] : model) {
            const auto found = engine->get(key);
            if (found.ok()) {
                ASSERT_EQ(found->value_or("(none)"), value);
                continue;
            }
            ++refused;
            EXPECT_TRUE(absl::IsUnavailable(found.status())) << found.status();
            EXPECT_THAT(std::string(found.status().message()), HasSubstr(directory));
            EXPECT_THAT(std::string(found.status().message()), HasSubstr("Too many open files"));
        }
        EXPECT_GT(refused, 0u);
    }
    workers.drop_all();
    EXPECT_EQ(*contents(**open(with)), model);
}

}  // namespace
}  // namespace starling::storage
