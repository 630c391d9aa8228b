#pragma once

// What the benchmark asks of an engine: one adapter each, in a file of its own, all opened with the
// same settings. Thread-safe but for opening and destruction. An error ends the program: a figure
// measured beside one is worthless.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace starling::bench {

struct EngineSettings {
    std::string directory;
    uint64_t cache_bytes = 0;
    // Of all memtables together.
    uint64_t write_buffer_bytes = 0;
    uint64_t block_bytes = 4096;
    uint32_t filter_bits_per_key = 10;
    // "none" or "lz4"; LevelDB knows only Snappy, which it then gets.
    std::string compression = "lz4";
    // Single keys are read past the cache of pages. LevelDB maps its tables, whatever this says.
    bool direct_reads = false;
};

enum class Durability { buffered, synced };
enum class Direction { forward, reverse };

class EngineUnderTest {
  public:
    // Closes the engine; the next opening finds all that was written.
    virtual ~EngineUnderTest() = default;
    virtual void put(std::string_view key, std::string_view value, Durability durability) = 0;
    // False: absent.
    virtual bool get(std::string_view key, std::string& value) = 0;
    // Visits up to `limit` entries with a new iterator: from the first at or after `from`, or from
    // the last one backward. Touches each key and value; returns how many there were.
    virtual uint64_t scan(std::string_view from, uint64_t limit, Direction direction) = 0;
    // How long put() waited because the engine announced a stall instead of waiting itself.
    virtual double stall_seconds() const { return 0; }
};

struct EngineKind {
    std::string name;
    // Whether the next opening finds what was written.
    bool keeps_data = true;
    std::function<std::unique_ptr<EngineUnderTest>(const EngineSettings&)> open;
};

// Those that this program was built with.
std::vector<EngineKind> known_engines();

[[noreturn]] void fail(std::string_view what);

// Keeps the compiler from dropping the reads of a scan.
inline void touch(std::string_view key, std::string_view value) {
    asm volatile(""
                 :
                 : "r"(key.data()), "r"(value.data()), "r"(key.size() + value.size())
                 : "memory");
}

std::unique_ptr<EngineUnderTest> open_starling(const std::string& engine,
                                               const EngineSettings& settings);
std::unique_ptr<EngineUnderTest> open_leveldb(const EngineSettings& settings);
std::unique_ptr<EngineUnderTest> open_rocksdb(const EngineSettings& settings);

}  // namespace starling::bench
