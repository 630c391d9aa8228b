#include "tests/bench/engine_bench/machine.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

namespace fs = std::filesystem;

namespace {

template <typename Visit>
void for_each_file(const std::string& directory, Visit visit) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (entry.is_regular_file()) {
            visit(entry.path());
        }
    }
}

}  // namespace

uint64_t run_in_child(const std::function<void()>& work, void* result, size_t result_bytes) {
    int ends[2];
    std::fflush(nullptr);
    if (::pipe(ends) != 0) {
        fail("pipe");
    }
    const pid_t child = ::fork();
    if (child < 0) {
        fail("fork");
    }
    if (child == 0) {
        work();
        const bool sent =
            ::write(ends[1], result, result_bytes) == static_cast<ssize_t>(result_bytes);
        std::_Exit(sent ? 0 : 1);
    }
    ::close(ends[1]);
    // Smaller than what a pipe hands over in one piece.
    const bool got = ::read(ends[0], result, result_bytes) == static_cast<ssize_t>(result_bytes);
    ::close(ends[0]);
    int status = 0;
    rusage usage{};
    if (::wait4(child, &status, 0, &usage) != child || status != 0 || !got) {
        fail("a measuring process failed");
    }
    return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

double cpu_seconds_of_process() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

uint64_t written_bytes_of_process() {
    std::ifstream counters("/proc/self/io");
    std::string name;
    uint64_t value = 0;
    while (counters >> name >> value) {
        if (name == "write_bytes:") {
            return value;
        }
    }
    return 0;
}

void wait_until_idle() {
    constexpr auto look_every = std::chrono::milliseconds(100);
    constexpr double idle_cpu_seconds = 0.002;
    constexpr int idle_looks_wanted = 4;
    constexpr int looks_max = 6000;
    int idle_looks = 0;
    double before = cpu_seconds_of_process();
    for (int look = 0; look < looks_max && idle_looks < idle_looks_wanted; ++look) {
        std::this_thread::sleep_for(look_every);
        const double now = cpu_seconds_of_process();
        idle_looks = now - before < idle_cpu_seconds ? idle_looks + 1 : 0;
        before = now;
    }
}

uint64_t directory_bytes(const std::string& directory) {
    uint64_t bytes = 0;
    for_each_file(directory, [&](const fs::path& path) {
        struct stat status{};
        if (::stat(path.c_str(), &status) == 0) {
            bytes += static_cast<uint64_t>(status.st_blocks) * 512;
        }
    });
    return bytes;
}

void copy_database(const std::string& from, const std::string& to) {
    constexpr std::array<std::string_view, 3> tables{".table", ".ldb", ".sst"};
    fs::remove_all(to);
    fs::create_directories(to);
    for_each_file(from, [&](const fs::path& path) {
        const fs::path copy = to / fs::relative(path, from);
        fs::create_directories(copy.parent_path());
        if (std::find(tables.begin(), tables.end(), path.extension().string()) != tables.end()) {
            fs::create_hard_link(path, copy);
        } else {
            fs::copy_file(path, copy);
        }
    });
}

void drop_page_cache(const std::string& directory) {
    for_each_file(directory, [](const fs::path& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            ::fsync(file);
            ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
            ::close(file);
        }
    });
    // Only root may; the files' own pages are gone in any case.
    std::ofstream("/proc/sys/vm/drop_caches") << "3\n";
}

std::optional<double> random_reads_per_second(const std::string& directory,
                                              uint32_t depth,
                                              double seconds) {
    const std::string command = fmt::format(
        "fio --name=random --filename={}/fio.data --size=1G --rw=randread --bs=4k --direct=1 "
        "--ioengine=psync --numjobs={} --thread --group_reporting --time_based --runtime={} "
        "--output-format=terse --terse-version=3 2>/dev/null",
        directory,
        depth,
        std::max(1, static_cast<int>(std::lround(seconds))));
    FILE* const output = ::popen(command.c_str(), "r");
    if (output == nullptr) {
        return std::nullopt;
    }
    std::string line;
    char piece[4096];
    while (std::fgets(piece, sizeof(piece), output) != nullptr) {
        line += piece;
    }
    if (::pclose(output) != 0) {
        return std::nullopt;
    }
    constexpr int read_rate_field = 7;
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i <= read_rate_field; ++i) {
        std::getline(fields, field, ';');
    }
    return std::strtod(field.c_str(), nullptr);
}

}  // namespace starling::bench
