// One workload over our engines and, where they are installed, LevelDB and RocksDB, in one run:
// what counts is the ratio. docs/performance.md has the command, what the rows mean, and results.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "tests/bench/engine_bench/load.h"
#include "tests/bench/engine_bench/machine.h"
#include "tests/bench/engine_bench/report.h"
#include "tests/bench/engine_bench/rows.h"
#include "tests/bench/engine_bench/source_rows.h"

namespace starling::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
    uint64_t keys = 2'000'000;
    std::vector<size_t> value_bytes = {100, 1024};
    std::vector<std::string> rows;
    std::vector<std::string> engines = {"lsm", "leveldb", "rocksdb"};
    uint32_t rounds = 1;
    uint32_t threads = 2;
    uint32_t sync_threads = 16;
    double seconds = 3;
    uint64_t cache_bytes = 0;
    uint64_t write_buffer_bytes = 64u << 20;
    std::string compression = "lz4";
    bool direct_reads = false;
    std::string directory;
    std::string json;
    bool source_rows = false;
};

std::vector<EngineKind> chosen_engines(const Options& options) {
    std::vector<EngineKind> chosen;
    const std::vector<EngineKind> known = known_engines();
    for (const std::string& name : options.engines) {
        const auto found = std::find_if(known.begin(), known.end(), [&](const EngineKind& engine) {
            return engine.name == name;
        });
        if (found != known.end()) {
            chosen.push_back(*found);
        } else if (name == "leveldb" || name == "rocksdb") {
            fmt::print("{} was not installed when this was built\n", name);
        } else {
            fail(fmt::format("no engine '{}'", name));
        }
    }
    return chosen;
}

std::vector<Row> chosen_rows(const Options& options) {
    std::vector<Row> rows = all_rows(options.threads, options.sync_threads);
    for (const std::string& name : options.rows) {
        if (std::none_of(
                rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; })) {
            fail(fmt::format("no row '{}'", name));
        }
    }
    std::erase_if(rows, [&](const Row& row) {
        return !options.rows.empty() &&
               std::find(options.rows.begin(), options.rows.end(), row.name) == options.rows.end();
    });
    return rows;
}

// The databases of one engine. The loaded one is made when the first row wants it and serves all
// rounds, unless making it is a row itself; rows that change it share a copy in each round.
class EngineRun {
  public:
    EngineRun(EngineKind engine, const Options& options, const Workload& workload)
        : engine_(std::move(engine)), options_(options), workload_(workload) {}

    void begin_round() { is_copied_ = false; }

    RowResult measure(const Row& row) {
        if (row.start == StartsWith::nothing) {
            // This row makes what the others want.
            return row.name == "fillrandom" ? load(row) : run(row, directory("empty"));
        }
        if (engine_.keeps_data && !is_loaded_) {
            load({.name = "load", .start = StartsWith::nothing, .run = load_all_keys});
        }
        if (!row.changes_database || !engine_.keeps_data) {
            return run(row, directory("loaded"));
        }
        if (!is_copied_) {
            copy_database(directory("loaded"), directory("changed"));
            is_copied_ = true;
        }
        return run(row, directory("changed"));
    }

  private:
    std::string directory(std::string_view what) const {
        return fmt::format("{}/{}-{}", options_.directory, engine_.name, what);
    }

    RowResult load(const Row& row) {
        is_loaded_ = true;
        is_copied_ = false;
        return run(row, directory("loaded"));
    }

    RowResult run(const Row& row, const std::string& directory) {
        if (row.start == StartsWith::nothing) {
            fs::remove_all(directory);
        }
        fs::create_directories(directory);
        const uint64_t data_bytes = workload_.data_bytes();
        const RowContext context{
            .engine = engine_,
            .settings = {.directory = directory,
                         .cache_bytes = options_.cache_bytes > 0 ? options_.cache_bytes
                                        : row.is_cold            ? data_bytes / 20
                                                                 : data_bytes * 2,
                         .write_buffer_bytes = options_.write_buffer_bytes,
                         .compression = options_.compression,
                         .direct_reads = options_.direct_reads},
            .workload = workload_,
            .threads = row.threads};
        // What others left unwritten is not to be this row's matter.
        ::sync();
        RowResult result;
        const uint64_t peak =
            run_in_child([&] { result = row.run(context); }, &result, sizeof(result));
        result.peak_memory_bytes = peak;
        return result;
    }

    const EngineKind engine_;
    const Options& options_;
    const Workload workload_;
    bool is_loaded_ = false;
    // In this round.
    bool is_copied_ = false;
};

std::vector<Measured> measure_all(const Options& options,
                                  const std::vector<EngineKind>& engines,
                                  const Workload& workload) {
    const std::vector<Row> rows = chosen_rows(options);
    std::vector<EngineRun> runs;
    for (const EngineKind& engine : engines) {
        runs.emplace_back(engine, options, workload);
    }
    // By row and engine.
    std::map<std::string, std::map<std::string, std::vector<RowResult>>> results;
    std::map<std::string, std::vector<double>> device;
    for (uint32_t round = 0; round < options.rounds; ++round) {
        for (EngineRun& run : runs) {
            run.begin_round();
        }
        for (const Row& row : rows) {
            for (size_t i = 0; i < runs.size(); ++i) {
                if (row.is_cold && !engines[i].keeps_data) {
                    continue;
                }
                const auto begin = std::chrono::steady_clock::now();
                const RowResult result = runs[i].measure(row);
                const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
                results[row.name][engines[i].name].push_back(result);
                fmt::print(stderr,
                           "round {} {:<20} {:<10} {:>12.0f}/s p99 {:.1f} us, took {:.0f} s\n",
                           round,
                           row.name,
                           engines[i].name,
                           result.per_second,
                           result.p99_microseconds,
                           took.count());
            }
            if (row.is_cold) {
                if (const auto reads =
                        random_reads_per_second(options.directory, row.threads, options.seconds)) {
                    device[row.name].push_back(*reads);
                }
            }
        }
    }
    std::vector<Measured> table;
    for (const Row& row : rows) {
        Measured measured{.row = row,
                          .value_bytes = workload.value_bytes,
                          .device_per_second = std::nullopt,
                          .engines = {}};
        for (const auto& [engine, rounds] : results[row.name]) {
            measured.engines[engine] = median_of(rounds);
        }
        if (const auto found = device.find(row.name); found != device.end()) {
            measured.device_per_second = median(found->second);
        }
        table.push_back(std::move(measured));
    }
    return table;
}

void run_tables(const Options& options, const std::vector<EngineKind>& engines) {
    std::vector<Measured> everything;
    for (const size_t value_bytes : options.value_bytes) {
        const Workload workload{
            .keys = options.keys, .value_bytes = value_bytes, .seconds = options.seconds};
        const std::vector<Measured> table = measure_all(options, engines, workload);
        fmt::print("\n{} keys of 16 B, values of {} B, compression {}, median of {}\n\n",
                   options.keys,
                   value_bytes,
                   options.compression,
                   options.rounds);
        std::vector<std::string> names;
        for (const EngineKind& engine : engines) {
            names.push_back(engine.name);
        }
        print_table(table, names);
        std::fflush(stdout);
        everything.insert(everything.end(), table.begin(), table.end());
    }
    if (!options.json.empty()) {
        write_json(options.json, everything);
    }
}

void run_sources(const Options& options, const std::vector<EngineKind>& engines) {
    fmt::print("| figure | stated | engine | measured |\n|---|---|---|---|\n");
    for (const EngineKind& engine : engines) {
        const EngineSettings settings{
            .directory = fmt::format("{}/{}-sources", options.directory, engine.name),
            .cache_bytes = options.cache_bytes > 0 ? options.cache_bytes : uint64_t{64} << 20,
            .write_buffer_bytes = options.write_buffer_bytes,
            .compression = options.compression,
            .direct_reads = options.direct_reads};
        bool done = true;
        run_in_child(
            [&] { run_source_rows(engine, settings, options.seconds); }, &done, sizeof(done));
    }
}

// Made when the program begins and removed however it ends.
class Folder {
  public:
    explicit Folder(const std::string& parent) {
        path_ =
            (parent.empty() ? fs::temp_directory_path() : fs::path(parent)) / "engine-bench-XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr) {
            std::perror(path_.c_str());
            std::exit(1);
        }
        owner_ = ::getpid();
        std::at_quick_exit(remove);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { remove(); }

    const std::string& path() const { return path_; }

  private:
    static void remove() {
        // A measuring process that fails leaves it to its parent.
        if (::getpid() == owner_) {
            fs::remove_all(path_);
        }
    }

    static inline std::string path_;
    static inline pid_t owner_ = 0;
};

}  // namespace
}  // namespace starling::bench

int main(int argc, char** argv) {
    using namespace starling::bench;
    Options options;
    CLI::App app("One workload over storage engines, and the ratios");
    app.add_option("--keys", options.keys, "how many")->capture_default_str();
    app.add_option("--value-bytes", options.value_bytes, "sizes of values, a table each")
        ->delimiter(',');
    app.add_option("--rows", options.rows, "only these rows")->delimiter(',');
    app.add_option("--engines", options.engines, "lsm, bitcask, in_memory, leveldb, rocksdb")
        ->delimiter(',');
    app.add_option("--rounds", options.rounds, "medians of this many")->capture_default_str();
    app.add_option("--threads", options.threads, "of overwrite-N and readrandom-N")
        ->capture_default_str();
    app.add_option("--sync-threads", options.sync_threads, "of fillsync-N and readcold-N")
        ->capture_default_str();
    app.add_option("--seconds", options.seconds, "length of rows without a natural end")
        ->capture_default_str();
    app.add_option("--cache-bytes",
                   options.cache_bytes,
                   "block cache; else twice the data, of cold rows a twentieth");
    app.add_option("--write-buffer-bytes", options.write_buffer_bytes, "of all memtables together")
        ->capture_default_str();
    app.add_option("--compression", options.compression, "none or lz4 (LevelDB: Snappy)")
        ->check(CLI::IsMember({"none", "lz4"}));
    app.add_flag("--direct-reads",
                 options.direct_reads,
                 "engines that can read past the cache of pages (LevelDB cannot)");
    app.add_option("--directory", options.directory, "where databases are made, and removed");
    app.add_option("--json", options.json, "also writes the figures to this file");
    app.add_flag(
        "--source-rows", options.source_rows, "what kvs, sled and EloqStore state instead");
    CLI11_PARSE(app, argc, argv);

    const Folder folder(options.directory);
    options.directory = folder.path();
    const std::vector<EngineKind> engines = chosen_engines(options);
    if (options.source_rows) {
        run_sources(options, engines);
    } else {
        run_tables(options, engines);
    }
    return 0;
}
