#pragma once

// The workloads, one per row of the table. Each runs in a process of its own on a database that is
// empty or holds every key once, and measures one engine.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

struct Workload {
    uint64_t keys = 0;
    size_t value_bytes = 0;
    // Of rows that have no natural end.
    double seconds = 0;

    uint64_t data_bytes() const;
};

// Trivially copyable: it comes out of a child process. What a row does not measure is 0.
struct RowResult {
    // Operations, in scans keys.
    double per_second = 0;
    // Of all threads of the engine, background work included: less disturbed than the rate by what
    // else the machine does.
    double cpu_microseconds = 0;
    double p50_microseconds = 0;
    double p99_microseconds = 0;
    // Bytes written until the engine was idle, per byte of keys and values given to it.
    double write_amplification = 0;
    // Disk used, per byte of keys and values that a reader sees.
    double space_amplification = 0;
    double stall_seconds = 0;
    // How long background work went on after the last operation.
    double settle_seconds = 0;
    // What the writer beside a row with latencies reached.
    double background_writes_per_second = 0;
    uint64_t peak_memory_bytes = 0;
};

struct RowContext {
    const EngineKind& engine;
    // Its directory is empty or loaded, as the row wants it.
    EngineSettings settings;
    const Workload& workload;
    uint32_t threads = 1;
};

enum class StartsWith { nothing, all_keys };
enum class Measures { rate, p99 };

struct Row {
    std::string name;
    uint32_t threads = 1;
    StartsWith start = StartsWith::all_keys;
    // Such rows get what those of the round before them left.
    bool changes_database = false;
    Measures measures = Measures::rate;
    // The page cache and most of the block cache are empty.
    bool is_cold = false;
    // Debian builds RocksDB with assertions and with checksums in software; one built -O3 for the
    // CPU is that much faster, with values of 100 bytes and of 1 KiB. 1: not known.
    double rocksdb_factor_100 = 1;
    double rocksdb_factor_1024 = 1;
    std::function<RowResult(const RowContext&)> run;
};

// In an order that lets one loaded database serve all rows that want it: those that change it come
// last. `threads` and
// `sync_threads` are those of the rows with many.
std::vector<Row> all_rows(uint32_t threads, uint32_t sync_threads);

// Writes every key once, in random order.
RowResult load_all_keys(const RowContext& context);

}  // namespace starling::bench
