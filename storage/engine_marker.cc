#include "storage/engine_marker.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "base/status_macros.h"

namespace starling::storage {

namespace {

constexpr std::string_view file_name = "ENGINE";
constexpr uint64_t marker_bytes_max = 4096;

std::string encode(const std::string& engine) {
    std::string text =
        fmt::format("starling storage\nengine {}\nformat {}\n", engine, format_version);
    text += fmt::format("checksum {:08x}\n", base::crc32c(text));
    return text;
}

// Takes "<name> <value>\n" off the front of `text`.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view name) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with(name) || end < name.size() + 1 ||
        text[name.size()] != ' ') {
        return std::nullopt;
    }
    const std::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
    text.remove_prefix(end + 1);
    return value;
}

absl::Status check(const std::string& path, std::string_view text, const std::string& engine) {
    absl::Status damaged = absl::DataLossError(fmt::format("{} is damaged", path));
    std::string_view rest = text;
    const auto title = take_line(rest, "starling");
    const auto engine_found = take_line(rest, "engine");
    const auto format_found = take_line(rest, "format");
    const std::string_view covered = text.substr(0, text.size() - rest.size());
    const auto checksum = take_line(rest, "checksum");
    if (!title || !engine_found || !format_found || !checksum || !rest.empty() ||
        *checksum != fmt::format("{:08x}", base::crc32c(covered))) {
        return damaged;
    }
    if (*engine_found != engine) {
        return absl::FailedPreconditionError(fmt::format(
            "{} says that engine '{}' wrote this directory; it cannot be opened with '{}'",
            path,
            *engine_found,
            engine));
    }
    if (*format_found != fmt::format("{}", format_version)) {
        return absl::FailedPreconditionError(fmt::format(
            "{} says that this directory has storage format {}; this program knows format {}",
            path,
            *format_found,
            format_version));
    }
    return absl::OkStatus();
}

// An engine writes its marker before anything else, so a directory with data and no marker lost it.
bool is_engine_data(std::string_view name) {
    return name == "CURRENT" || name == "FILES" || name.ends_with(".log") ||
           name.ends_with(".table") || name.ends_with(".values") || name.ends_with(".data");
}

}  // namespace

absl::Status check_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine) {
    const std::string path = fmt::format("{}/{}", directory, file_name);
    const absl::StatusOr<std::string> text = env::read_file(files, path, marker_bytes_max);
    if (text.ok()) {
        return check(path, *text, engine);
    }
    if (absl::IsOutOfRange(text.status())) {
        return absl::DataLossError(fmt::format("{} is damaged: too long", path));
    }
    if (!absl::IsNotFound(text.status())) {
        return text.status();
    }
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    if (std::any_of(names.begin(), names.end(), is_engine_data)) {
        return absl::DataLossError(
            fmt::format("{} is missing, but {} holds an engine's data", path, directory));
    }
    return env::replace_file(files, path, encode(engine));
}

}  // namespace starling::storage
