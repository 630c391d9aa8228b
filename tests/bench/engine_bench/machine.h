#pragma once

// What the benchmark asks of the machine: processes of their own, counters, the page cache, and
// what the disk can do.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace starling::bench {

// Runs `work` in a forked child and returns the bytes it left in `result`, a trivially copyable
// object, and the child's peak memory. The caller has no other threads. Ends the program when the
// child fails.
uint64_t run_in_child(const std::function<void()>& work, void* result, size_t result_bytes);

double cpu_seconds_of_process();
// Handed by this process to the operating system to be written to disk.
uint64_t written_bytes_of_process();
// Waits until this process has used next to no CPU for a while: background work has ended.
void wait_until_idle();

uint64_t directory_bytes(const std::string& directory);
// Makes `to` anew as a database with the content of `from`. Tables, which no engine changes, are
// hard links.
void copy_database(const std::string& from, const std::string& to);
// Empties the page cache of the directory's files, which nobody may have open.
void drop_page_cache(const std::string& directory);

// Random reads of 4 KiB a second past the page cache, `depth` at a time, as fio measures them.
// nullopt: fio is not installed.
std::optional<double> random_reads_per_second(const std::string& directory,
                                              uint32_t depth,
                                              double seconds);

}  // namespace starling::bench
