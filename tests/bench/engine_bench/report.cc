#include "tests/bench/engine_bench/report.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <fmt/os.h>

#include "tests/bench/engine_bench/load.h"

namespace starling::bench {

namespace {

bool is_peer(const std::string& engine) {
    return engine == "leveldb" || engine == "rocksdb";
}

double rocksdb_factor(const Measured& measured) {
    constexpr size_t small_value_bytes_max = 512;
    return measured.value_bytes <= small_value_bytes_max ? measured.row.rocksdb_factor_100
                                                         : measured.row.rocksdb_factor_1024;
}

// Better is more.
double figure(const Measured& measured, const RowResult& result) {
    return measured.row.measures == Measures::p99 ? 1e6 / result.p99_microseconds
                                                  : result.per_second;
}

// nullopt: no peer ran.
std::optional<double> better_peer(const Measured& measured, bool corrected) {
    std::optional<double> best;
    for (const auto& [engine, result] : measured.engines) {
        if (is_peer(engine)) {
            const double factor = corrected && engine == "rocksdb" ? rocksdb_factor(measured) : 1;
            best = std::max(best.value_or(0), figure(measured, result) * factor);
        }
    }
    return best;
}

std::string rate_text(double value) {
    if (value >= 1e6) {
        return fmt::format("{:.2f} M", value / 1e6);
    }
    return value >= 1e4 ? fmt::format("{:.0f} k", value / 1e3) : fmt::format("{:.0f}", value);
}

std::string figure_text(const Measured& measured, const std::string& engine) {
    const auto found = measured.engines.find(engine);
    if (found == measured.engines.end()) {
        return "";
    }
    const RowResult& result = found->second;
    if (measured.row.measures == Measures::p99) {
        return fmt::format("{:.1f} us", result.p99_microseconds);
    }
    const double factor = rocksdb_factor(measured);
    return engine == "rocksdb" && factor != 1
               ? fmt::format(
                     "{} ({})", rate_text(result.per_second), rate_text(result.per_second * factor))
               : rate_text(result.per_second);
}

void print_line(const std::vector<std::string>& cells) {
    std::string line = "|";
    for (const std::string& cell : cells) {
        line += fmt::format(" {} |", cell);
    }
    fmt::print("{}\n", line);
}

void print_head(const std::vector<std::string>& cells) {
    print_line(cells);
    print_line(std::vector<std::string>(cells.size(), "---"));
}

std::string ratio_text(double ours, std::optional<double> theirs) {
    return theirs.has_value() ? fmt::format("{:.2f}", ours / *theirs) : "";
}

void print_rates(const std::vector<Measured>& rows, const std::vector<std::string>& engines) {
    std::vector<std::string> head = {"row"};
    head.insert(head.end(), engines.begin(), engines.end());
    head.emplace_back("device");
    for (const std::string& engine : engines) {
        if (!is_peer(engine)) {
            head.push_back(engine + " / better peer");
            head.push_back(engine + " / better peer as packaged");
            head.push_back(engine + " / device");
        }
    }
    print_head(head);
    for (const Measured& measured : rows) {
        std::vector<std::string> cells = {measured.row.name};
        for (const std::string& engine : engines) {
            cells.push_back(figure_text(measured, engine));
        }
        cells.push_back(
            measured.device_per_second.has_value() ? rate_text(*measured.device_per_second) : "");
        for (const std::string& engine : engines) {
            const auto found = measured.engines.find(engine);
            if (is_peer(engine)) {
                continue;
            }
            if (found == measured.engines.end()) {
                cells.insert(cells.end(), 3, "");
                continue;
            }
            const double ours = figure(measured, found->second);
            cells.push_back(ratio_text(ours, better_peer(measured, true)));
            cells.push_back(ratio_text(ours, better_peer(measured, false)));
            cells.push_back(ratio_text(ours, measured.device_per_second));
        }
        print_line(cells);
    }
}

void print_costs(const std::vector<Measured>& rows, const std::vector<std::string>& engines) {
    print_head({"row",
                "engine",
                "CPU, us",
                "bytes written per byte",
                "disk per byte",
                "peak memory, MiB",
                "stalled, s",
                "idle after, s",
                "writer beside, /s"});
    for (const Measured& measured : rows) {
        for (const std::string& engine : engines) {
            const auto found = measured.engines.find(engine);
            if (found == measured.engines.end()) {
                continue;
            }
            const RowResult& result = found->second;
            const bool writes = result.write_amplification > 0;
            print_line(
                {measured.row.name,
                 engine,
                 fmt::format("{:.3f}", result.cpu_microseconds),
                 writes ? fmt::format("{:.2f}", result.write_amplification) : "",
                 result.space_amplification > 0 ? fmt::format("{:.2f}", result.space_amplification)
                                                : "",
                 fmt::format("{:.0f}", static_cast<double>(result.peak_memory_bytes) / (1u << 20)),
                 result.stall_seconds > 0 ? fmt::format("{:.2f}", result.stall_seconds) : "",
                 writes ? fmt::format("{:.1f}", result.settle_seconds) : "",
                 result.background_writes_per_second > 0
                     ? rate_text(result.background_writes_per_second)
                     : ""});
        }
    }
}

}  // namespace

RowResult median_of(const std::vector<RowResult>& rounds) {
    const auto median_member = [&](auto member) {
        std::vector<double> values;
        for (const RowResult& round : rounds) {
            values.push_back(static_cast<double>(round.*member));
        }
        return median(values);
    };
    return {
        .per_second = median_member(&RowResult::per_second),
        .cpu_microseconds = median_member(&RowResult::cpu_microseconds),
        .p50_microseconds = median_member(&RowResult::p50_microseconds),
        .p99_microseconds = median_member(&RowResult::p99_microseconds),
        .write_amplification = median_member(&RowResult::write_amplification),
        .space_amplification = median_member(&RowResult::space_amplification),
        .stall_seconds = median_member(&RowResult::stall_seconds),
        .settle_seconds = median_member(&RowResult::settle_seconds),
        .background_writes_per_second = median_member(&RowResult::background_writes_per_second),
        .peak_memory_bytes = static_cast<uint64_t>(median_member(&RowResult::peak_memory_bytes)),
    };
}

void print_table(const std::vector<Measured>& rows, const std::vector<std::string>& engines) {
    print_rates(rows, engines);
    fmt::print("\n");
    print_costs(rows, engines);
}

void write_json(const std::string& path, const std::vector<Measured>& rows) {
    auto out = fmt::output_file(path);
    out.print("[");
    const char* separator = "\n";
    for (const Measured& measured : rows) {
        for (const auto& [engine, result] : measured.engines) {
            out.print(
                "{}{{\"row\": \"{}\", \"value_bytes\": {}, \"engine\": \"{}\", \"per_second\": {}, "
                "\"cpu_microseconds\": {}, "
                "\"p50_microseconds\": {}, \"p99_microseconds\": {}, \"write_amplification\": {}, "
                "\"space_amplification\": {}, \"stall_seconds\": {}, \"settle_seconds\": {}, "
                "\"background_writes_per_second\": {}, \"peak_memory_bytes\": {}, "
                "\"rocksdb_factor\": {}, \"device_per_second\": {}}}",
                separator,
                measured.row.name,
                measured.value_bytes,
                engine,
                result.per_second,
                result.cpu_microseconds,
                result.p50_microseconds,
                result.p99_microseconds,
                result.write_amplification,
                result.space_amplification,
                result.stall_seconds,
                result.settle_seconds,
                result.background_writes_per_second,
                result.peak_memory_bytes,
                rocksdb_factor(measured),
                measured.device_per_second.value_or(0));
            separator = ",\n";
        }
    }
    out.print("\n]\n");
}

}  // namespace starling::bench
