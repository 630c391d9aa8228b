// What memory that cannot be had does to an engine: it ends the process, and loses nothing. The
// test replaces the allocator.

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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/storage/real_engine_test.h"

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

class EngineMemoryTest : public RealEngineTest {
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
