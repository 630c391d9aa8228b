#include "tests/bench/engine_bench/engine_under_test.h"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace starling::bench {

std::vector<EngineKind> known_engines() {
    std::vector<EngineKind> engines;
    for (const std::string name : {"lsm", "bitcask", "in_memory"}) {
        engines.push_back({.name = name,
                           .keeps_data = name != "in_memory",
                           .open = [name](const EngineSettings& settings) {
                               return open_starling(name, settings);
                           }});
    }
#ifdef STARLING_BENCH_LEVELDB
    engines.push_back({.name = "leveldb", .open = open_leveldb});
#endif
#ifdef STARLING_BENCH_ROCKSDB
    engines.push_back({.name = "rocksdb", .open = open_rocksdb});
#endif
    return engines;
}

void fail(std::string_view what) {
    fmt::print(stderr, "engine_bench: {}\n", what);
    std::quick_exit(1);
}

}  // namespace starling::bench
