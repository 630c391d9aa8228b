#include "tests/bench/engine_bench/source_rows.h"

#include <filesystem>

#include <fmt/format.h>

#include "tests/bench/engine_bench/load.h"

namespace starling::bench {

namespace {

using Seconds = std::chrono::duration<double>;

// kvs's benchmark sets key0 .. key254 in each iteration.
constexpr uint64_t kvs_sets = 255;
constexpr uint64_t kvs_rounds = 50;

std::unique_ptr<EngineUnderTest> open_empty(const EngineKind& engine,
                                            const EngineSettings& settings) {
    std::filesystem::remove_all(settings.directory);
    std::filesystem::create_directories(settings.directory);
    return engine.open(settings);
}

std::string kvs_key(uint64_t number) {
    return fmt::format("key{}", number);
}

void print(const EngineKind& engine,
           std::string_view row,
           std::string_view stated,
           std::string_view ours) {
    fmt::print("| {} | {} | {} | {} |\n", row, stated, engine.name, ours);
    std::fflush(stdout);
}

double microseconds_per_operation(const LoadTimes& times) {
    return times.seconds * 1e6 / static_cast<double>(times.operations);
}

// The median of fresh stores: their opening is not counted.
double microseconds_per_set(const EngineKind& engine,
                            const EngineSettings& settings,
                            Durability durability,
                            uint64_t rounds) {
    std::vector<double> times;
    for (uint64_t round = 0; round < rounds; ++round) {
        const auto store = open_empty(engine, settings);
        times.push_back(
            microseconds_per_operation(run_counted(1, kvs_sets, [&](uint32_t, uint64_t index) {
                store->put(kvs_key(index), "value", durability);
                return 1;
            })));
    }
    return median(times);
}

// Of a store with `keys` keys that was opened again, so that they are read from its files or from
// its cache, not from the memory they were written to.
double nanoseconds_per_get(const EngineKind& engine,
                           const EngineSettings& settings,
                           uint64_t keys,
                           double seconds) {
    auto store = open_empty(engine, settings);
    if (engine.keeps_data) {
        for (uint64_t index = 0; index < keys; ++index) {
            store->put(kvs_key(index), "value", Durability::buffered);
        }
        store.reset();
        store = engine.open(settings);
    } else {
        for (uint64_t index = 0; index < keys; ++index) {
            store->put(kvs_key(index), "value", Durability::buffered);
        }
    }
    std::vector<std::string> names;
    for (uint64_t index = 0; index < keys; ++index) {
        names.push_back(kvs_key(index));
    }
    Sequence random(5);
    std::string value;
    return 1e3 * microseconds_per_operation(run_timed(1, Seconds(seconds), [&](uint32_t, uint64_t) {
               if (!store->get(names[random.below(keys)], value)) {
                   fail("a key that was written is absent");
               }
               return 1;
           }));
}

// Keys of 8 bytes, values of 120.
void run_eloq_rows(const EngineKind& engine, const EngineSettings& settings, double seconds) {
    constexpr uint64_t keys = 100'000;
    const Values values(120);
    const auto key_of = [](uint64_t number) { return fmt::format("{:08}", number); };
    const auto rate = [](const LoadTimes& times) {
        return static_cast<double>(times.operations) / times.seconds;
    };
    auto store = open_empty(engine, settings);
    const LoadTimes synced = run_with_latencies(Seconds(seconds), [&](uint32_t, uint64_t index) {
        store->put(key_of(index % keys), values.value(index), Durability::synced);
        return 1;
    });
    print(engine,
          "EloqStore writes, one thread, a sync per write",
          "50,000/s, p99 < 1 ms",
          fmt::format("{:.0f}/s, p99 {:.0f} us", rate(synced), synced.p99));
    const LoadTimes buffered = run_with_latencies(Seconds(seconds), [&](uint32_t, uint64_t index) {
        store->put(key_of(index % keys), values.value(index), Durability::buffered);
        return 1;
    });
    print(engine,
          "EloqStore writes, one thread, no sync",
          "50,000/s, p99 < 1 ms",
          fmt::format("{:.0f}/s, p99 {:.1f} us", rate(buffered), buffered.p99));
    if (engine.keeps_data) {
        store.reset();
        store = engine.open(settings);
    }
    store->scan({}, UINT64_MAX, Direction::forward);
    Sequence random(5);
    std::string value;
    const LoadTimes reads = run_with_latencies(Seconds(seconds), [&](uint32_t, uint64_t) {
        store->get(key_of(random.below(keys)), value);
        return 1;
    });
    print(engine,
          "EloqStore cached reads",
          "200,000/s, p99 < 1 ms",
          fmt::format("{:.0f}/s, p99 {:.1f} us", rate(reads), reads.p99));
    const LoadTimes scan = run_timed(1, Seconds(seconds), [&](uint32_t, uint64_t) {
        return store->scan({}, UINT64_MAX, Direction::forward);
    });
    print(engine, "EloqStore scan", "1 M keys/s", fmt::format("{:.2f} M keys/s", rate(scan) / 1e6));
}

}  // namespace

void run_source_rows(const EngineKind& engine, const EngineSettings& settings, double seconds) {
    print(engine,
          "kvs set, fresh store, no sync",
          "2.1 us",
          fmt::format("{:.2f} us",
                      microseconds_per_set(engine, settings, Durability::buffered, kvs_rounds)));
    for (const auto& [keys, kvs, sled] :
         {std::tuple(15, "1.98 us", "594 ns"), std::tuple(255, "2.23 us", "669 ns")}) {
        print(engine,
              fmt::format("get among {} keys (kvs from its log, sled from its cache)", keys),
              fmt::format("{}, {}", kvs, sled),
              fmt::format(
                  "{:.0f} ns",
                  nanoseconds_per_get(engine, settings, static_cast<uint64_t>(keys), seconds)));
    }
    print(engine,
          "sled set, a flush each",
          "1,450 us",
          fmt::format("{:.0f} us", microseconds_per_set(engine, settings, Durability::synced, 3)));
    run_eloq_rows(engine, settings, seconds);
}

}  // namespace starling::bench
