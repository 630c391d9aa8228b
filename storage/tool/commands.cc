#include "storage/tool/commands.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "storage/bitcask/file_list.h"
#include "storage/engine_files.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"
#include "storage/open.h"
#include "storage/operations.h"
#include "storage/statistics.h"
#include "storage/tool/verify.h"

namespace starling::storage::tool {

namespace {

using Json = nlohmann::ordered_json;

std::string printable(std::string_view bytes, bool hex = false) {
    const std::string copy(bytes);
    return hex ? absl::BytesToHexString(copy) : absl::CHexEscape(copy);
}

Json describe_table(const lsm::TableMetadata& table, size_t level) {
    return {{"level", level},
            {"file", lsm::table_path("", table.number).substr(1)},
            {"bytes", table.file_bytes},
            {"entries", table.entry_count},
            {"removals", table.removal_count},
            {"smallest", printable(table.smallest_user_key())},
            {"largest", printable(table.largest_user_key())}};
}

absl::Status describe_lsm(env::FileSystem& files, const std::string& directory, Json& found) {
    STARLING_ASSIGN_OR_RETURN(const auto state, lsm::read_manifest(files, directory));
    if (!state.has_value()) {
        return absl::OkStatus();
    }
    found["manifest"] = lsm::manifest_path("", state->manifest_number).substr(1);
    found["next_file_number"] = state->next_file_number;
    found["log"] = {{"file", lsm::log_path("", state->log.number).substr(1)},
                    {"position", state->log.position},
                    {"flushed_sequence", state->log.flushed}};
    found["range_removals"] = state->version->range_removals().list().size();
    found["tables"] = Json::array();
    for (size_t level = 0; level < lsm::level_count; ++level) {
        for (const lsm::TablePtr& table : state->version->level(level)) {
            found["tables"].push_back(describe_table(*table, level));
        }
    }
    found["value_files"] = Json::array();
    for (const auto& file : state->version->value_files()) {
        found["value_files"].push_back({{"file", lsm::value_file_path("", file.number).substr(1)},
                                        {"bytes", file.file_bytes},
                                        {"live_bytes", file.live_bytes}});
    }
    return absl::OkStatus();
}

absl::Status describe_bitcask(env::FileSystem& files, const std::string& directory, Json& found) {
    STARLING_ASSIGN_OR_RETURN(const auto list, bitcask::read_file_list(files, directory));
    if (!list.has_value()) {
        return absl::OkStatus();
    }
    found["log"] = {{"number", list->log.number},
                    {"position", list->log.position},
                    {"flushed_sequence", list->log.flushed}};
    found["data_files"] = Json::array();
    for (const bitcask::ListedFile& file : list->files) {
        found["data_files"].push_back(
            {{"number", file.number}, {"bytes", file.bytes}, {"merged", file.merged}});
    }
    return absl::OkStatus();
}

// An object's members in a line: name value name value.
std::string in_a_line(const Json& object) {
    std::string line;
    for (const auto& [name, value] : object.items()) {
        line += fmt::format("{}{} {}",
                            line.empty() ? "" : "  ",
                            name,
                            value.is_string() ? value.get<std::string>() : value.dump());
    }
    return line;
}

void print(const Json& found, Output output) {
    if (output.json) {
        output.out << found.dump(2) << '\n';
        return;
    }
    for (const auto& [name, value] : found.items()) {
        if (!value.is_array()) {
            output.out << name << ' '
                       << (value.is_object()   ? in_a_line(value)
                           : value.is_string() ? value.get<std::string>()
                                               : value.dump())
                       << '\n';
            continue;
        }
        output.out << name << ' ' << value.size() << '\n';
        for (const Json& element : value) {
            output.out << "  " << in_a_line(element) << '\n';
        }
    }
}

absl::StatusOr<std::unique_ptr<Engine>> open_to_read(EngineEnvironment environment,
                                                     const std::string& directory) {
    EngineOptions options;
    options.engine.clear();
    options.read_only = true;
    return open_engine(directory, options, environment);
}

Json describe(const std::vector<Finding>& findings) {
    Json list = Json::array();
    for (const Finding& finding : findings) {
        list.push_back(
            {{"file", finding.file}, {"offset", finding.offset}, {"what", finding.what}});
    }
    return list;
}

void print(std::string_view kind, const std::vector<Finding>& findings, std::ostream& out) {
    for (const Finding& finding : findings) {
        out << fmt::format(
            "{}: {}: at offset {}: {}\n", kind, finding.file, finding.offset, finding.what);
    }
}

}  // namespace

absl::Status inspect(env::FileSystem& files, const std::string& directory, Output output) {
    STARLING_ASSIGN_OR_RETURN(const EngineMarker marker, detect_engine(files, directory));
    Json found = {{"engine", marker.engine}, {"format", marker.format}, {"files", Json::array()}};
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    for (const std::string& name : names) {
        const auto size = files.file_size(fmt::format("{}/{}", directory, name));
        found["files"].push_back(
            {{"file", name},
             {"kind", std::string(engine_file_kind(marker.engine, name).value_or("foreign"))},
             {"bytes", size.value_or(0)}});
    }
    absl::Status status;
    if (marker.engine == "lsm") {
        status = describe_lsm(files, directory, found);
    } else if (marker.engine == "bitcask") {
        status = describe_bitcask(files, directory, found);
    }
    // What could be read is shown also when the rest is damaged.
    print(found, output);
    return status;
}

absl::Status verify(env::FileSystem& files, const std::string& directory, Output output) {
    STARLING_ASSIGN_OR_RETURN(const auto lock, lock_to_read(files, directory));
    STARLING_ASSIGN_OR_RETURN(const Verified verified, verify_directory(files, directory));
    if (output.json) {
        const Json found = {{"files", verified.files},
                            {"bytes", verified.bytes},
                            {"damages", describe(verified.damages)},
                            {"notes", describe(verified.notes)}};
        output.out << found.dump(2) << '\n';
    } else {
        print("damage", verified.damages, output.out);
        print("note", verified.notes, output.out);
        output.out << fmt::format("{} files, {} bytes, {} damaged places\n",
                                  verified.files,
                                  verified.bytes,
                                  verified.damages.size());
    }
    return verified.damages.empty() ? absl::OkStatus()
                                    : absl::DataLossError(fmt::format("{} is damaged", directory));
}

absl::Status dump(EngineEnvironment environment,
                  const std::string& directory,
                  const DumpOptions& options,
                  Output output) {
    STARLING_ASSIGN_OR_RETURN(const auto engine, open_to_read(environment, directory));
    const auto entries =
        engine->new_iterator({.lower = options.prefix,
                              .upper = prefix_upper_bound(options.prefix).value_or(std::string())});
    uint64_t shown = 0;
    for (entries->seek_to_first();
         entries->valid() && (options.limit == 0 || shown < options.limit);
         entries->next(), ++shown) {
        const std::string key = printable(entries->key(), options.hex);
        const std::string value =
            options.keys_only ? std::string() : printable(entries->value(), options.hex);
        if (output.json) {
            Json line = {{"key", key}};
            if (!options.keys_only) {
                line["value"] = value;
            }
            if (entries->expiry() != never) {
                line["expiry_ms"] = entries->expiry();
            }
            output.out << line.dump() << '\n';
        } else {
            output.out << (options.keys_only ? key : fmt::format("{}\t{}", key, value)) << '\n';
        }
    }
    STARLING_RETURN_IF_ERROR(entries->status());
    return engine->close();
}

absl::Status stats(EngineEnvironment environment, const std::string& directory, Output output) {
    STARLING_ASSIGN_OR_RETURN(const auto engine, open_to_read(environment, directory));
    Json figures = Json::object();
    for (const NamedFigure& figure : named_figures(engine->statistics())) {
        figures[figure.name] = figure.value;
    }
    print(figures, output);
    return engine->close();
}

}  // namespace starling::storage::tool
