#include "tests/bench/engine_bench/rows.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "tests/bench/engine_bench/load.h"
#include "tests/bench/engine_bench/machine.h"

namespace starling::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Demand on the writer beside the reader, the same for every engine.
struct WriterBeside {
    double bytes_per_second;
    // How long, in the workload's seconds.
    double lengths;
};
constexpr double mebibyte = 1u << 20;
constexpr WriterBeside calm_writer{.bytes_per_second = 4 * mebibyte, .lengths = 2};
// Near the most that all of them keep up with, and long enough for several compactions of level 0.
constexpr WriterBeside busy_writer{.bytes_per_second = 8 * mebibyte, .lengths = 10};
// More than some keep up with: they then have less to do than the others.
constexpr WriterBeside flooding_writer{.bytes_per_second = 24 * mebibyte, .lengths = 2};

constexpr uint64_t scan_length = 100;

// Of cold reads: how many blocks there are for each that is read between two emptyings of the page
// cache. Few of the reads then find a page that an earlier one brought.
constexpr uint64_t blocks_per_cold_read = 8;
// And for each read before the clock starts, so that tables are open.
constexpr uint64_t blocks_per_opening_read = 256;

using WriteOperation = std::function<void(EngineUnderTest&, uint32_t thread, uint64_t index)>;
using Run = std::function<LoadTimes(const Operation&)>;

double seconds_since(SteadyClock::time_point begin) {
    return Seconds(SteadyClock::now() - begin).count();
}

RowResult rate_of(const LoadTimes& times) {
    const auto operations = static_cast<double>(times.operations);
    return {.per_second = operations / times.seconds,
            .cpu_microseconds = times.cpu_seconds * 1e6 / operations};
}

RowResult measure_writes(const RowContext& context, const Run& run, const WriteOperation& write) {
    const uint64_t entry_bytes = key_bytes + context.workload.value_bytes;
    const uint64_t written_before = written_bytes_of_process();
    RowResult result;
    double user_bytes = 0;
    {
        const auto engine = context.engine.open(context.settings);
        const LoadTimes times = run([&](uint32_t thread, uint64_t index) {
            write(*engine, thread, index);
            return 1;
        });
        const auto begin = SteadyClock::now();
        wait_until_idle();
        result = rate_of(times);
        result.settle_seconds = seconds_since(begin);
        result.stall_seconds = engine->stall_seconds();
        user_bytes = static_cast<double>(times.operations * entry_bytes);
    }
    result.write_amplification =
        static_cast<double>(written_bytes_of_process() - written_before) / user_bytes;
    result.space_amplification = static_cast<double>(directory_bytes(context.settings.directory)) /
                                 static_cast<double>(context.workload.data_bytes());
    return result;
}

Run counted(const RowContext& context) {
    return [&context](const Operation& operation) {
        return run_counted(context.threads, context.workload.keys, operation);
    };
}

Run timed(const RowContext& context) {
    return [&context](const Operation& operation) {
        return run_timed(context.threads, Seconds(context.workload.seconds), operation);
    };
}

RowResult fill_in_order(const RowContext& context) {
    const Values values(context.workload.value_bytes);
    return measure_writes(
        context, counted(context), [&](EngineUnderTest& engine, uint32_t, uint64_t index) {
            engine.put(Key::present(index).view(), values.value(index), Durability::buffered);
        });
}

std::vector<Sequence> sequence_per_thread(uint32_t threads) {
    std::vector<Sequence> sequences;
    for (uint32_t thread = 0; thread < threads; ++thread) {
        sequences.emplace_back(1000 + thread);
    }
    return sequences;
}

RowResult write_random(const RowContext& context, const Run& run, Durability durability) {
    const Values values(context.workload.value_bytes);
    std::vector<Sequence> random = sequence_per_thread(context.threads);
    return measure_writes(context, run, [&](EngineUnderTest& engine, uint32_t thread, uint64_t) {
        const uint64_t number = random[thread].next();
        engine.put(Key::present(random[thread].below(context.workload.keys)).view(),
                   values.value(number % (1u << 20)),
                   durability);
    });
}

RowResult overwrite(const RowContext& context) {
    return write_random(context, counted(context), Durability::buffered);
}

RowResult fill_synced(const RowContext& context) {
    RowResult result = write_random(context, timed(context), Durability::synced);
    // Only some of the keys are there.
    result.space_amplification = 0;
    return result;
}

void get_present(EngineUnderTest& engine, Sequence& random, uint64_t keys) {
    thread_local std::string value;
    if (!engine.get(Key::present(random.below(keys)).view(), value)) {
        fail("a key that was written is absent");
    }
}

// Opens the engine, lets it finish what it left undone, and brings all its data into memory.
std::unique_ptr<EngineUnderTest> open_hot(const RowContext& context) {
    auto engine = context.engine.open(context.settings);
    if (!context.engine.keeps_data) {
        const Values values(context.workload.value_bytes);
        for (uint64_t index = 0; index < context.workload.keys; ++index) {
            engine->put(Key::present(index).view(), values.value(index), Durability::buffered);
        }
    }
    wait_until_idle();
    engine->scan({}, UINT64_MAX, Direction::forward);
    return engine;
}

RowResult measure_hot(
    const RowContext& context,
    const std::function<uint64_t(EngineUnderTest&, Sequence& random)>& operation) {
    const auto engine = open_hot(context);
    std::vector<Sequence> random = sequence_per_thread(context.threads);
    return rate_of(timed(context)(
        [&](uint32_t thread, uint64_t) { return operation(*engine, random[thread]); }));
}

RowResult read_random(const RowContext& context) {
    return measure_hot(context, [&](EngineUnderTest& engine, Sequence& random) {
        get_present(engine, random, context.workload.keys);
        return 1;
    });
}

RowResult read_missing(const RowContext& context) {
    return measure_hot(context, [&](EngineUnderTest& engine, Sequence& random) {
        thread_local std::string value;
        if (engine.get(Key::missing(random.below(context.workload.keys)).view(), value)) {
            fail("a key that was never written is there");
        }
        return 1;
    });
}

RowResult read_all(const RowContext& context, Direction direction) {
    const auto engine = open_hot(context);
    LoadTimes all;
    while (all.seconds < context.workload.seconds) {
        const LoadTimes pass = run_counted(
            1, 1, [&](uint32_t, uint64_t) { return engine->scan({}, UINT64_MAX, direction); });
        if (pass.operations != context.workload.keys) {
            fail(fmt::format("a scan met {} keys", pass.operations));
        }
        all.operations += pass.operations;
        all.seconds += pass.seconds;
        all.cpu_seconds += pass.cpu_seconds;
    }
    return rate_of(all);
}

RowResult scan_short(const RowContext& context) {
    return measure_hot(context, [&](EngineUnderTest& engine, Sequence& random) {
        return engine.scan(Key::present(random.below(context.workload.keys)).view(),
                           scan_length,
                           Direction::forward);
    });
}

RowResult read_cold(const RowContext& context) {
    const uint64_t blocks = context.workload.data_bytes() / context.settings.block_bytes;
    const uint64_t reads = std::max<uint64_t>(context.threads, blocks / blocks_per_cold_read);
    std::vector<Sequence> random = sequence_per_thread(context.threads);
    LoadTimes all;
    while (all.seconds < context.workload.seconds) {
        drop_page_cache(context.settings.directory);
        const auto engine = context.engine.open(context.settings);
        wait_until_idle();
        for (uint64_t i = 0; i < blocks / blocks_per_opening_read; ++i) {
            get_present(*engine, random[0], context.workload.keys);
        }
        const LoadTimes pass = run_counted(context.threads, reads, [&](uint32_t thread, uint64_t) {
            get_present(*engine, random[thread], context.workload.keys);
            return 1;
        });
        all.operations += pass.operations;
        all.seconds += pass.seconds;
        all.cpu_seconds += pass.cpu_seconds;
    }
    return rate_of(all);
}

// Overwrites random keys at a steady rate until stopped.
class PacedWriter {
  public:
    PacedWriter(EngineUnderTest& engine, const Workload& workload, double bytes_per_second)
        : per_second_(bytes_per_second / static_cast<double>(key_bytes + workload.value_bytes)),
          begin_(SteadyClock::now()),
          thread_([this, &engine, &workload] { run(engine, workload); }) {}
    double stop() {
        stopping_ = true;
        thread_.join();
        return static_cast<double>(written_) / seconds_since(begin_);
    }

  private:
    void run(EngineUnderTest& engine, const Workload& workload) {
        const Values values(workload.value_bytes);
        Sequence random(77);
        while (!stopping_) {
            const auto due = static_cast<uint64_t>(seconds_since(begin_) * per_second_);
            for (; written_ < due && !stopping_; ++written_) {
                engine.put(Key::present(random.below(workload.keys)).view(),
                           values.value(written_),
                           Durability::buffered);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    const double per_second_;
    const SteadyClock::time_point begin_;
    std::atomic<bool> stopping_ = false;
    // Of the thread, until it was joined.
    uint64_t written_ = 0;
    std::thread thread_;
};

RowResult read_beside_writer(const RowContext& context, const WriterBeside& beside) {
    const auto engine = open_hot(context);
    Sequence random(1);
    PacedWriter writer(*engine, context.workload, beside.bytes_per_second);
    const LoadTimes times = run_with_latencies(
        Seconds(beside.lengths * context.workload.seconds), [&](uint32_t, uint64_t) {
            get_present(*engine, random, context.workload.keys);
            return 1;
        });
    RowResult result = rate_of(times);
    result.background_writes_per_second = writer.stop();
    result.p50_microseconds = times.p50;
    result.p99_microseconds = times.p99;
    result.stall_seconds = engine->stall_seconds();
    return result;
}

}  // namespace

uint64_t Workload::data_bytes() const {
    return keys * (key_bytes + value_bytes);
}

RowResult load_all_keys(const RowContext& context) {
    const Values values(context.workload.value_bytes);
    const Shuffle shuffle(context.workload.keys);
    return measure_writes(
        context, counted(context), [&](EngineUnderTest& engine, uint32_t, uint64_t index) {
            engine.put(
                Key::present(shuffle.at(index)).view(), values.value(index), Durability::buffered);
        });
}

std::vector<Row> all_rows(uint32_t threads, uint32_t sync_threads) {
    const auto many = [](std::string_view name, uint32_t count) {
        return fmt::format("{}-{}", name, count);
    };
    const auto read_forward = [](const RowContext& context) {
        return read_all(context, Direction::forward);
    };
    const auto read_backward = [](const RowContext& context) {
        return read_all(context, Direction::reverse);
    };
    const auto read_beside = [](WriterBeside beside) {
        return [beside](const RowContext& context) { return read_beside_writer(context, beside); };
    };
    constexpr auto nothing = StartsWith::nothing;
    return {
        {.name = "fillseq",
         .start = nothing,
         .rocksdb_factor_100 = 827.0 / 463,
         .rocksdb_factor_1024 = 372.0 / 281,
         .run = fill_in_order},
        {.name = "fillrandom",
         .start = nothing,
         .rocksdb_factor_100 = 437.0 / 235,
         .rocksdb_factor_1024 = 279.0 / 152,
         .run = load_all_keys},
        {.name = "readrandom",
         .rocksdb_factor_100 = 380.0 / 297,
         .rocksdb_factor_1024 = 378.0 / 318,
         .run = read_random},
        {.name = many("readrandom", threads),
         .threads = threads,
         .rocksdb_factor_100 = 666.0 / 516,
         .rocksdb_factor_1024 = 378.0 / 318,
         .run = read_random},
        {.name = "readmissing",
         .rocksdb_factor_100 = 1390.0 / 964,
         .rocksdb_factor_1024 = 1390.0 / 964,
         .run = read_missing},
        {.name = "readseq",
         .rocksdb_factor_100 = 4.41 / 2.39,
         .rocksdb_factor_1024 = 2.48 / 1.96,
         .run = read_forward},
        {.name = "readreverse",
         .rocksdb_factor_100 = 4.41 / 2.39,
         .rocksdb_factor_1024 = 2.48 / 1.96,
         .run = read_backward},
        {.name = "scan100",
         .rocksdb_factor_100 = 2.89 / 1.75,
         .rocksdb_factor_1024 = 2.48 / 1.96,
         .run = scan_short},
        {.name = "readcold", .is_cold = true, .run = read_cold},
        {.name = many("readcold", sync_threads),
         .threads = sync_threads,
         .is_cold = true,
         .run = read_cold},
        {.name = "overwrite",
         .changes_database = true,
         .rocksdb_factor_100 = 483.0 / 232,
         .rocksdb_factor_1024 = 212.0 / 156,
         .run = overwrite},
        {.name = many("overwrite", threads),
         .threads = threads,
         .changes_database = true,
         .rocksdb_factor_100 = 314.0 / 189,
         .rocksdb_factor_1024 = 212.0 / 156,
         .run = overwrite},
        {.name = "readwhilewriting",
         .changes_database = true,
         .measures = Measures::p99,
         .run = read_beside(calm_writer)},
        {.name = "readwhilecompacting",
         .changes_database = true,
         .measures = Measures::p99,
         .run = read_beside(busy_writer)},
        {.name = "readwhileflooding",
         .changes_database = true,
         .measures = Measures::p99,
         .run = read_beside(flooding_writer)},
        {.name = "fillsync", .start = nothing, .run = fill_synced},
        {.name = many("fillsync", sync_threads),
         .threads = sync_threads,
         .start = nothing,
         .rocksdb_factor_100 = 30.0 / 29,
         .rocksdb_factor_1024 = 29.0 / 26,
         .run = fill_synced},
    };
}

}  // namespace starling::bench
