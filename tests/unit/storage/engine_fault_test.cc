// For each operation of an engine: its first call to the file system fails, then its second, ...
// until it is not touched. Whatever failed, the caller is told or nothing is lost, reads go on, and
// a reopened engine has all that was acknowledged and nothing in part.

#include <algorithm>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "storage/backup.h"
#include "storage/destroy.h"
#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

using env::CrashMode;
using env::FileOperation;
using testing::HasSubstr;

enum class Fault : uint8_t {
    // One call.
    error_once,
    // A call and all after it.
    error_for_ever,
    // Calls that need room find none, until there is some again.
    no_space_once,
    no_space_for_ever,
    // Calls that change anything are not allowed any more.
    denied_for_ever,
};

bool lasts(Fault fault) {
    return fault == Fault::error_for_ever || fault == Fault::no_space_for_ever ||
           fault == Fault::denied_for_ever;
}
bool is_no_space(Fault fault) {
    return fault == Fault::no_space_once || fault == Fault::no_space_for_ever;
}

absl::Status error_of(Fault fault, const std::string& path) {
    if (is_no_space(fault)) {
        return base::make_error(absl::StatusCode::kResourceExhausted,
                                base::reason::disk_full,
                                path + ": no space left");
    }
    return fault == Fault::denied_for_ever ? absl::PermissionDeniedError(path + ": not permitted")
                                           : absl::UnavailableError(path + ": I/O error");
}

// One life of an engine on a disk of its own.
struct World {
    World(const env::SimFileSystem& disk, EngineOptions engine_options)
        : files(disk.clone()), options(std::move(engine_options)) {}

    absl::Status open(const std::string& directory = "/data") {
        auto opened = open_engine(directory, options, environment(*files, workers));
        if (opened.ok()) {
            engine = *std::move(opened);
        }
        return opened.status();
    }
    void kill() {
        engine.reset();
        workers.drop_all();
    }

    std::unique_ptr<env::SimFileSystem> files;
    EngineOptions options;
    QueueWorkers workers;
    std::unique_ptr<Engine> engine;
};

// What may be found where after an operation.
struct Expected {
    Model before;
    Model after;
};

struct Operation {
    std::string name;
    // What comes before and meets no fault; null: the engine is opened.
    std::function<void(World&)> prepare;
    std::function<absl::Status(World&)> run;
    // What the operation changes.
    WriteBatch change = {};
    // OK means that the change is durable.
    bool durable = true;
};

// Which call fails, and whether it was reached.
class Plan {
  public:
    // `existing`: files that need no room to be opened.
    Plan(Fault fault, uint64_t n, std::set<std::string> existing)
        : fault_(fault), n_(n), existing_(std::move(existing)) {}

    absl::Status admit(FileOperation operation, const std::string& path) {
        if (!meets(operation, path)) {
            return absl::OkStatus();
        }
        ++count_;
        if (count_ != n_ && !(lasts(fault_) && count_ > n_)) {
            return absl::OkStatus();
        }
        failed_.insert(operation);
        return error_of(fault_, path);
    }

    bool reached() const { return count_ >= n_; }
    const std::set<FileOperation>& failed() const { return failed_; }

  private:
    bool meets(FileOperation operation, const std::string& path) const {
        if (!is_no_space(fault_) && fault_ != Fault::denied_for_ever) {
            return true;
        }
        switch (operation) {
            case FileOperation::read:
            case FileOperation::inspect:
                return false;
            case FileOperation::open:
                return !existing_.contains(path);
            case FileOperation::remove:
            case FileOperation::truncate:
                return !is_no_space(fault_);
            default:
                return true;
        }
    }

    const Fault fault_;
    const uint64_t n_;
    const std::set<std::string> existing_;
    uint64_t count_ = 0;
    std::set<FileOperation> failed_;
};

std::set<std::string> all_paths(env::FileSystem& files) {
    std::set<std::string> paths;
    for (const std::string directory : {"/data", "/backup"}) {
        for (const std::string& name : files.list(directory).value_or(std::vector<std::string>())) {
            paths.insert(directory + "/" + name);
        }
    }
    return paths;
}

WriteBatch large_batch() {
    WriteBatch batch;
    for (int i = 0; i < 20; ++i) {
        batch.put(fmt::format("batch{:03}", i), std::string(100, 'b'));
    }
    batch.remove("key001");
    batch.remove_range("key020", "key030");
    return batch;
}

// More than the log keeps in memory.
WriteBatch huge_batch() {
    WriteBatch batch;
    batch.put("huge0", std::string(200 << 10, 'h'));
    batch.put("huge1", std::string(200 << 10, 'h'));
    return batch;
}

absl::Status write(World& world, const WriteBatch& batch, bool sync) {
    return world.engine->write(batch, {.sync = sync});
}

// Reads everything, both ways of it.
absl::Status read_all(World& world, const Model& model) {
    for (const auto& [key, value] : model) {
        const auto found = world.engine->get(key);
        if (!found.ok()) {
            return found.status();
        }
        EXPECT_EQ(found->value_or("(none)"), value);
    }
    const auto found = contents(*world.engine);
    EXPECT_TRUE(!found.ok() || *found == model);
    return found.status();
}

class EngineFaultTest : public testing::TestWithParam<std::string> {
  protected:
    // A directory with complete files, and a log that holds some more; a backup of it.
    EngineFaultTest() {
        QueueWorkers workers;
        auto engine = *open_engine("/data", options(), environment(disk, workers));
        overwrite(*engine, workers, model, 120, 50, 70);
        WriteBatch large;
        large.put("large", std::string(900, 'l'));
        EXPECT_TRUE(engine->write(large).ok());
        model["large"] = std::string(900, 'l');
        workers.run_all();
        EXPECT_TRUE(engine->close().ok());
        engine = *open_engine("/data", options(), environment(disk, workers));
        EXPECT_TRUE(engine->write(put_of("log", "l"), {.sync = true}).ok());
        model["log"] = "l";
        EXPECT_TRUE(backup_engine(*engine, disk, "/backup").ok());
    }

    EngineOptions options() const { return small_options(GetParam()); }

    std::vector<Operation> operations() {
        const auto writes = [](std::string name, const WriteBatch& batch, bool sync) {
            return Operation{.name = std::move(name),
                             .prepare = nullptr,
                             .run = [=](World& world) { return write(world, batch, sync); },
                             .change = batch,
                             .durable = sync};
        };
        return {
            writes("put", put_of("key000", "new"), true),
            writes("batch", large_batch(), true),
            writes("a batch that does not wait", huge_batch(), false),
            {.name = "sync",
             .prepare = [](World& world) { EXPECT_TRUE(write(world, large_batch(), false).ok()); },
             .run = [](World& world) { return world.engine->sync(); },
             .change = large_batch()},
            {.name = "background jobs",
             .prepare = [this](World& world) { queue_jobs(world); },
             .run =
                 [](World& world) {
                     world.workers.run_all();
                     return world.engine->background_error();
                 },
             .change = job_batch()},
            {.name = "compact",
             .prepare = nullptr,
             .run = [](World& world) { return world.engine->compact(); }},
            {.name = "checkpoint",
             .prepare = nullptr,
             .run = [](World& world) { return world.engine->checkpoint("/copy"); }},
            {.name = "backup",
             .prepare = nullptr,
             .run =
                 [](World& world) { return backup_engine(*world.engine, *world.files, "/copy"); }},
            {.name = "read",
             .prepare = nullptr,
             .run = [this](World& world) { return read_all(world, model); }},
            {.name = "close",
             .prepare = [](World& world) { EXPECT_TRUE(write(world, large_batch(), false).ok()); },
             .run =
                 [](World& world) {
                     absl::Status status = world.engine->close();
                     world.kill();
                     return status;
                 },
             .change = large_batch()},
            {.name = "open",
             .prepare = [](World&) {},
             .run = [](World& world) { return world.open(); }},
            {.name = "restore",
             .prepare = [](World&) {},
             .run =
                 [](World& world) {
                     return restore_engine(*world.files, "/backup", "/restored");
                 }}};
    }

    // Fills memtables or files whose jobs wait. The log is synced.
    static WriteBatch job_batch() {
        WriteBatch batch;
        for (int i = 0; i < 90; ++i) {
            batch.put(fmt::format("key{:03}", i % 45), std::string(60, 'j'));
        }
        return batch;
    }
    void queue_jobs(World& world) {
        for (int i = 0; i < 90; ++i) {
            const std::string key = fmt::format("key{:03}", i % 45);
            ASSERT_TRUE(put(*world.engine, key, std::string(60, 'j')).ok());
        }
        ASSERT_TRUE(world.engine->sync().ok());
        ASSERT_GT(world.workers.size(), 0u);
    }

    // Runs `operation` with the n-th call failing; false: it makes fewer calls.
    bool run(const Operation& operation, Fault fault, uint64_t n);
    void check_engine(World& world, const Expected& expected, Fault fault, const Plan& plan);
    // That of `directory` in `world` may be no engine, or one with the content of before.
    void check_copy(World& world, const std::string& directory, bool complete);

    env::SimFileSystem disk{{.append_buffer_bytes = 0}};
    Model model;
};

STARLING_FOR_EVERY_DURABLE_ENGINE(EngineFaultTest);

// The engine goes on, or says that it does not.
void EngineFaultTest::check_engine(World& world,
                                   const Expected& expected,
                                   Fault fault,
                                   const Plan& plan) {
    const auto found = contents(*world.engine);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_TRUE(*found == expected.before || *found == expected.after);

    const absl::Status background = world.engine->background_error();
    absl::Status status = world.engine->write(put_of("further", "1"), {.sync = true});
    if (!background.ok()) {
        EXPECT_THAT(std::string(background.message()), HasSubstr("/data"));
        EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
        EXPECT_EQ(base::reason_of(status), base::reason::read_only);
        EXPECT_THAT(std::string(status.message()), HasSubstr(background.message()));
        EXPECT_EQ(world.engine->write_pressure(), WritePressure::refusing);
        EXPECT_EQ(read(*world.engine, "further"), "(none)");
        // Space that is missing is no reason to stay read-only, unless it shows in a sync.
        EXPECT_TRUE(!is_no_space(fault) || plan.failed().contains(FileOperation::sync) ||
                    plan.failed().contains(FileOperation::sync_directory))
            << background;
        return;
    }
    for (int tries = 0; tries < 3 && absl::IsResourceExhausted(status); ++tries) {
        world.workers.run_all();
        status = world.engine->write(put_of("further", "1"), {.sync = true});
    }
    ASSERT_TRUE(status.ok()) << status;
    world.workers.run_all();
    EXPECT_TRUE(world.engine->background_error().ok()) << world.engine->background_error();
    EXPECT_EQ(world.engine->write_pressure(), WritePressure::none);
}

void EngineFaultTest::check_copy(World& world, const std::string& directory, bool complete) {
    EngineOptions read_only = options();
    read_only.read_only = true;
    const auto copy = open_engine(directory, read_only, environment(*world.files, world.workers));
    ASSERT_TRUE(copy.ok() || !complete) << copy.status();
    ASSERT_TRUE(!copy.ok() || *contents(**copy) == model)
        << directory << ": " << contents(**copy)->size() << " keys of " << model.size();
}

bool EngineFaultTest::run(const Operation& operation, Fault fault, uint64_t n) {
    World world(disk, options());
    const Expected expected{.before = model, .after = after_batch(model, operation.change)};
    if (operation.name != "open" && operation.name != "restore") {
        EXPECT_TRUE(world.open().ok());
    }
    if (operation.prepare != nullptr) {
        operation.prepare(world);
    }
    Plan plan(fault, n, all_paths(*world.files));
    world.files->faults().set_hook(
        [&](FileOperation kind, const std::string& path) { return plan.admit(kind, path); });
    const absl::Status status = operation.run(world);
    world.files->faults().set_hook(nullptr);
    if (!plan.reached()) {
        EXPECT_TRUE(status.ok()) << status;
        return false;
    }
    if (!status.ok()) {
        EXPECT_THAT(std::string(status.message()), HasSubstr("/"));
        EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsFailedPrecondition(status) ||
                    (is_no_space(fault) && absl::IsResourceExhausted(status)) ||
                    (fault == Fault::denied_for_ever && absl::IsPermissionDenied(status)))
            << status;
    }
    if (world.engine != nullptr) {
        check_engine(world, expected, fault, plan);
    }
    const bool further = world.engine != nullptr && read(*world.engine, "further") == "1";
    world.kill();
    env::SimRandom random(n);
    world.files->crash(CrashMode::lost, random);
    const absl::Status reopened = world.open();
    EXPECT_TRUE(reopened.ok()) << reopened;
    if (!reopened.ok()) {
        return true;
    }
    Model found = *contents(*world.engine);
    EXPECT_EQ(found.erase("further") == 1, further);
    const bool must_be_there = operation.durable && status.ok();
    EXPECT_TRUE(found == expected.after || (!must_be_there && found == expected.before))
        << found.size() << " keys; " << status;
    if (operation.name == "checkpoint" || operation.name == "backup") {
        check_copy(world, "/copy", status.ok());
        EXPECT_EQ(status.ok() && operation.name == "backup",
                  verify_backup(*world.files, "/copy").ok());
    }
    if (operation.name == "restore") {
        check_copy(world, "/restored", status.ok());
    }
    return true;
}

TEST_P(EngineFaultTest, WhicheverCallFailsNothingIsLostAndNothingIsSilent) {
    for (const Operation& operation : operations()) {
        for (const Fault fault : {Fault::error_once,
                                  Fault::error_for_ever,
                                  Fault::no_space_once,
                                  Fault::no_space_for_ever,
                                  Fault::denied_for_ever}) {
            uint64_t n = 1;
            for (; run(operation, fault, n); ++n) {
                ASSERT_LT(n, 5000u);
                ASSERT_FALSE(HasFailure())
                    << operation.name << ", call " << n << ", fault " << static_cast<int>(fault);
            }
            ASSERT_FALSE(HasFailure()) << operation.name << ", untouched after " << n;
            const bool only_reads = operation.name == "read";
            EXPECT_GT(n, only_reads && fault >= Fault::no_space_once ? 0u : 1u) << operation.name;
        }
    }
}

TEST_P(EngineFaultTest, APowerLossInAnyOperationLeavesItDoneOrNotBegun) {
    for (const Operation& operation : operations()) {
        for (uint64_t n = 1;; ++n) {
            for (const CrashMode mode : {CrashMode::lost, CrashMode::torn, CrashMode::torn}) {
                World world(disk, options());
                if (operation.name != "open" && operation.name != "restore") {
                    ASSERT_TRUE(world.open().ok());
                }
                if (operation.prepare != nullptr) {
                    operation.prepare(world);
                }
                world.files->faults().crash_at(n);
                const absl::Status status = operation.run(world);
                const bool died = world.files->faults().dead();
                world.kill();
                env::SimRandom random(n * 2 + (mode == CrashMode::torn ? 1 : 0));
                world.files->crash(mode, random);
                SCOPED_TRACE(fmt::format("{}, call {}", operation.name, n));
                const absl::Status reopened = world.open();
                ASSERT_TRUE(reopened.ok()) << reopened;
                const Model found = *contents(*world.engine);
                ASSERT_TRUE(found == after_batch(model, operation.change) ||
                            (found == model && !(status.ok() && operation.durable)));
                if (operation.name == "checkpoint" || operation.name == "backup") {
                    check_copy(world, "/copy", status.ok());
                    ASSERT_FALSE(HasFailure());
                }
                if (operation.name == "backup" && !status.ok() && !*world.files->exists("/copy")) {
                    const absl::Status again = backup_engine(*world.engine, *world.files, "/copy");
                    ASSERT_TRUE(again.ok()) << again;
                    ASSERT_TRUE(verify_backup(*world.files, "/copy").ok());
                }
                if (operation.name == "restore") {
                    check_copy(world, "/restored", status.ok());
                    ASSERT_FALSE(HasFailure());
                }
                if (!died) {
                    n = 0;
                    break;
                }
            }
            if (n == 0) {
                break;
            }
        }
    }
}

// The checkpoint is made while a compaction writes, and the power goes some operations later.
TEST(LsmFaultTest, ACheckpointAmidACompactionIsOneMomentWhereverThePowerGoes) {
    EngineOptions options = small_options();
    options.table_bytes = 1024;
    env::SimFileSystem disk{{.append_buffer_bytes = 0}};
    Model model;
    {
        QueueWorkers workers;
        const auto engine = *open_engine("/data", options, environment(disk, workers));
        overwrite(*engine, workers, model, 150, 100, 70);
        workers.run_all();
        ASSERT_TRUE(engine->close().ok());
    }
    uint64_t copies = 0;
    bool reached = true;
    for (uint64_t n = 1; reached; n += every(2)) {
        bool died = true;
        for (uint64_t later = 1; died; later += every(7)) {
            SCOPED_TRACE(fmt::format("checkpoint at {}, crash {} later", n, later));
            World world(disk, options);
            ASSERT_TRUE(world.open().ok());
            uint64_t count = 0;
            bool copied = false;
            reached = false;
            world.files->faults().set_hook([&](FileOperation kind, const std::string& path) {
                // A compaction writes its tables under no lock.
                const bool writes = kind == FileOperation::write || kind == FileOperation::sync;
                if (writes && path.ends_with(".table") && path.starts_with("/data") &&
                    ++count == n) {
                    reached = true;
                    world.files->faults().crash_at(later);
                    copied = world.engine->checkpoint("/copy").ok();
                }
                return absl::OkStatus();
            });
            world.engine->compact().IgnoreError();
            died = world.files->faults().dead();
            world.files->faults().set_hook(nullptr);
            world.kill();
            env::SimRandom random(n + later);
            world.files->crash(later % 2 == 0 ? CrashMode::torn : CrashMode::lost, random);
            EngineOptions read_only = options;
            read_only.read_only = true;
            const auto copy =
                open_engine("/copy", read_only, environment(*world.files, world.workers));
            ASSERT_TRUE(copy.ok() || !copied) << copy.status();
            ASSERT_TRUE(!copy.ok() || *contents(**copy) == model);
            copies += copied ? 1u : 0u;
            const absl::Status status = world.open();
            ASSERT_TRUE(status.ok()) << status;
            ASSERT_EQ(*contents(*world.engine), model);
        }
    }
    EXPECT_GT(copies, 10u);
}

TEST_P(EngineFaultTest, ErrorsNameTheRemedy) {
    const auto says = [](const absl::Status& status, std::string_view remedy) {
        EXPECT_THAT(std::string(status.message()), HasSubstr(remedy));
    };
    World full(disk, options());
    ASSERT_TRUE(full.open().ok());
    full.files->set_capacity(full.files->used_bytes());
    absl::Status status;
    for (int i = 0; i < 100 && status.ok(); ++i) {
        status = full.engine->write(put_of("k", std::string(200, 'v')), {.sync = true});
    }
    says(put(*full.engine, "k", "v"), "writes are taken again when there is space");

    World failed(disk, options());
    ASSERT_TRUE(failed.open().ok());
    ASSERT_TRUE(put(*failed.engine, "k", "v").ok());
    failed.files->faults().fail_next(FileOperation::sync);
    says(failed.engine->sync(), "writes are taken again once it is reopened");
    says(put(*failed.engine, "k", "v"), "writes are taken again once it is reopened");

    for (const std::string name : {"ENGINE", GetParam() == "lsm" ? "CURRENT" : "FILES"}) {
        World damaged(disk, options());
        ASSERT_TRUE(damaged.files->flip_bit("/data/" + name, 9, 2).ok());
        const absl::Status refused = damaged.open();
        ASSERT_TRUE(absl::IsDataLoss(refused)) << refused;
        says(refused, "/data/" + name);
        says(refused, "`starling-storage verify /data` lists all damage");
        says(refused, "restore a backup");
    }
}

TEST_P(EngineFaultTest, ADestroyThatFailsSaysSoAndCanBeRepeated) {
    for (const bool for_ever : {false, true}) {
        for (uint64_t n = 1;; ++n) {
            const auto files = disk.clone();
            files->faults().fail_nth(n, for_ever);
            const absl::Status status = destroy_engine(*files, "/data").status();
            const bool reached = files->faults().operation_count() >= n;
            files->faults().clear();
            if (!status.ok()) {
                ASSERT_THAT(std::string(status.message()), HasSubstr("/"));
                const auto again = destroy_engine(*files, "/data");
                ASSERT_TRUE(again.ok()) << n << ": " << again.status();
            }
            ASSERT_FALSE(*files->exists("/data")) << n;
            if (!reached) {
                ASSERT_GT(n, 10u);
                break;
            }
        }
    }
}

}  // namespace
}  // namespace starling::storage
