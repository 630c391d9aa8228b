// What the operating system has to say: a directory that two processes want, few file descriptors,
// things in the place of files, no memory. On real files.

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

#include "env/posix/file_system.h"
#include "tests/unit/storage/engine_conformance.h"

namespace {

constexpr int64_t no_limit = INT64_MAX;

// Allocations that still succeed; from the next one on none does.
std::atomic<int64_t> allocations_left = no_limit;
// Only one fails, and later ones succeed.
std::atomic<bool> fails_once = false;

void* allocate(size_t size, size_t alignment) {
    if (allocations_left.load(std::memory_order_relaxed) != no_limit) {
        const int64_t left = allocations_left.fetch_sub(1, std::memory_order_relaxed);
        if (left == 0 || (left < 0 && !fails_once.load(std::memory_order_relaxed))) {
            throw std::bad_alloc();
        }
    }
    void* const memory =
        alignment <= alignof(std::max_align_t)
            ? std::malloc(size == 0 ? 1 : size)
            : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

}  // namespace

void* operator new(size_t size) {
    return allocate(size, 1);
}
void* operator new[](size_t size) {
    return allocate(size, 1);
}
void* operator new(size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace starling::storage {
namespace {

using testing::HasSubstr;

class EngineProcessTest : public testing::TestWithParam<std::string> {
  protected:
    EngineProcessTest() {
        // In memory where there is such a place: nothing here waits for a disk.
        const std::filesystem::path memory = "/dev/shm";
        const std::filesystem::path parent =
            std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
        std::string pattern = (parent / "starling-XXXXXX").string();
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        root = pattern;
        directory = root + "/data";
    }
    ~EngineProcessTest() override { std::filesystem::remove_all(root); }

    EngineOptions options() const { return small_options(GetParam()); }
    absl::StatusOr<std::unique_ptr<Engine>> open() { return open(options()); }
    absl::StatusOr<std::unique_ptr<Engine>> open(const EngineOptions& with) {
        return open_engine(directory, with, environment(files, workers));
    }

    std::string root;
    std::string directory;
    env::PosixFileSystem files;
    QueueWorkers workers;
};

class DurableEngineProcessTest : public EngineProcessTest {};

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

// ---- memory

struct Step {
    std::string name;
    std::function<absl::Status(Engine&, QueueWorkers&, const std::string& copy)> run;
    WriteBatch change = {};
};

std::vector<Step> steps() {
    WriteBatch batch;
    for (int i = 0; i < 60; ++i) {
        batch.put(fmt::format("batch{:02}", i), std::string(50, 'b'));
    }
    batch.remove_range("key005", "key010");
    return {{"write",
             [batch](Engine& engine, QueueWorkers&, const std::string&) {
                 return engine.write(batch, {.sync = true});
             },
             batch},
            {"get",
             [](Engine& engine, QueueWorkers&, const std::string&) {
                 return engine.get("key001").status();
             }},
            {"scan",
             [](Engine& engine, QueueWorkers&, const std::string&) {
                 const auto iterator = engine.new_iterator();
                 for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
                 }
                 for (iterator->seek_to_last(); iterator->valid(); iterator->previous()) {
                 }
                 return iterator->status();
             }},
            {"jobs",
             [](Engine& engine, QueueWorkers& workers, const std::string&) {
                 workers.run_all();
                 return engine.background_error();
             }},
            {"compact",
             [](Engine& engine, QueueWorkers&, const std::string&) { return engine.compact(); }},
            {"checkpoint",
             [](Engine& engine, QueueWorkers&, const std::string& copy) {
                 return engine.checkpoint(copy);
             }},
            {"close",
             [](Engine& engine, QueueWorkers&, const std::string&) { return engine.close(); }}};
}

constexpr int untouched = 10;
constexpr int threw = 11;
constexpr int refused = 12;

class EngineMemoryTest : public DurableEngineProcessTest {
  protected:
    // What a process that runs `step` and fails to allocate once or from then on ends with, and
    // what it says.
    int run(const Step& step, int64_t allocations, bool once, std::string& said) {
        const std::string output = root + "/output";
        const pid_t child = ::fork();
        if (child == 0) {
            const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
            ::setrlimit(RLIMIT_CORE, &no_core);
            const int fd = ::open(output.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
            ::dup2(fd, STDERR_FILENO);
            auto engine = open();
            if (!engine.ok() || !queue_jobs(**engine)) {
                ::_exit(13);
            }
            fails_once = once;
            const std::string copy = root + "/copy";
            int result = 0;
            try {
                allocations_left = allocations;
                const absl::Status status = step.run(**engine, workers, copy);
                const bool reached = allocations_left < 0;
                allocations_left = no_limit;
                result = status.ok() ? (reached ? 0 : untouched) : refused;
            } catch (const std::bad_alloc&) {
                result = threw;
            }
            ::_exit(result);
        }
        int result = 0;
        EXPECT_EQ(::waitpid(child, &result, 0), child);
        std::ifstream file(output);
        said.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        return WIFSIGNALED(result) ? -WTERMSIG(result) : WEXITSTATUS(result);
    }

    static bool queue_jobs(Engine& engine) {
        for (int i = 0; i < 100; ++i) {
            if (!put(engine, fmt::format("key{:03}", i % 30), std::string(60, 'v')).ok()) {
                return false;
            }
        }
        return engine.sync().ok();
    }

    void make_base() {
        const auto engine = *open();
        Model model;
        overwrite(*engine, workers, model, 100, 30, 60);
        workers.run_all();
        EXPECT_TRUE(engine->close().ok());
    }
};

STARLING_FOR_EVERY_DURABLE_ENGINE(EngineMemoryTest);

TEST_P(EngineMemoryTest, AnAllocationThatFailsEndsTheProcessWithAMessageAndLosesNothing) {
    make_base();
    Model before;
    for (int i = 0; i < 30; ++i) {
        before[fmt::format("key{:03}", i)] = std::string(60, 'v');
    }
    std::filesystem::copy(directory, root + "/base");
    for (const Step& step : steps()) {
        Model after = before;
        if (!step.change.empty()) {
            after.erase(after.lower_bound("key005"), after.lower_bound("key010"));
            for (int i = 0; i < 60; ++i) {
                after[fmt::format("batch{:02}", i)] = std::string(50, 'b');
            }
        }
        int ended = 0;
        int64_t n = 0;
        for (bool once = false; ended != untouched; once = !once) {
            ASSERT_LT(n, 100000) << step.name;
            std::filesystem::remove_all(directory);
            std::filesystem::remove_all(root + "/copy");
            std::filesystem::copy(root + "/base", directory);
            std::string said;
            ended = run(step, n, once, said);
            SCOPED_TRACE(fmt::format("{}, allocation {}: {}", step.name, n, said));
            ASSERT_TRUE(ended == untouched || ended == -SIGABRT || ended == 0) << ended;
            if (ended == -SIGABRT) {
                EXPECT_THAT(said, HasSubstr("terminate called"));
            }
            const auto engine = open();
            ASSERT_TRUE(engine.ok()) << engine.status();
            const Model found = *contents(**engine);
            ASSERT_TRUE(found == after || (ended != untouched && found == before));
            n += static_cast<int64_t>(every(1 + static_cast<uint64_t>(n) / 2));
        }
    }
}

}  // namespace
}  // namespace starling::storage
