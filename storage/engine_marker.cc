#include "storage/engine_marker.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "base/status_macros.h"
#include "storage/engine_files.h"

namespace starling::storage {

namespace {

constexpr uint64_t marker_bytes_max = 4096;

std::string marker_path(const std::string& directory) {
    return fmt::format("{}/{}", directory, engine_marker_name);
}

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

absl::StatusOr<EngineMarker> decode(const std::string& path, std::string_view text) {
    absl::Status damaged = absl::DataLossError(fmt::format("{} is damaged", path));
    std::string_view rest = text;
    const auto title = take_line(rest, "starling");
    const auto engine = take_line(rest, "engine");
    const auto format = take_line(rest, "format");
    const std::string_view covered = text.substr(0, text.size() - rest.size());
    const auto checksum = take_line(rest, "checksum");
    if (!title || !engine || !format || !checksum || !rest.empty() ||
        *checksum != fmt::format("{:08x}", base::crc32c(covered))) {
        return damaged;
    }
    EngineMarker marker{.engine = std::string(*engine)};
    const char* const end = format->data() + format->size();
    const auto [stop, error] = std::from_chars(format->data(), end, marker.format);
    if (error != std::errc() || stop != end) {
        return damaged;
    }
    return marker;
}

}  // namespace

absl::StatusOr<std::optional<EngineMarker>> read_engine_marker(env::FileSystem& files,
                                                               const std::string& directory) {
    const std::string path = marker_path(directory);
    const absl::StatusOr<std::string> text = env::read_file(files, path, marker_bytes_max);
    if (text.ok()) {
        if (text->starts_with(env::encrypted_file_magic)) {
            return absl::FailedPreconditionError(
                fmt::format("{}: is encrypted: give the master key", path));
        }
        return decode(path, *text);
    }
    if (absl::IsOutOfRange(text.status())) {
        return absl::DataLossError(fmt::format("{} is damaged: too long", path));
    }
    if (!absl::IsNotFound(text.status())) {
        return text.status();
    }
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    // An engine writes its marker before anything else.
    if (std::any_of(names.begin(), names.end(), is_engine_data)) {
        return absl::DataLossError(
            fmt::format("{} is missing, but {} holds an engine's data", path, directory));
    }
    return std::optional<EngineMarker>();
}

absl::Status check_engine_marker(const EngineMarker& marker,
                                 const std::string& directory,
                                 const std::string& engine) {
    const std::string path = marker_path(directory);
    if (marker.engine != engine) {
        return absl::FailedPreconditionError(fmt::format(
            "{} says that engine '{}' wrote this directory; it cannot be opened with '{}'",
            path,
            marker.engine,
            engine));
    }
    if (marker.format < format_version_min || marker.format > format_version) {
        return absl::FailedPreconditionError(
            fmt::format("{} says that this directory has storage format {}; this program knows "
                        "formats {} to {}",
                        path,
                        marker.format,
                        format_version_min,
                        format_version));
    }
    return absl::OkStatus();
}

absl::Status write_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine) {
    return env::replace_file(files, marker_path(directory), encode(engine));
}

absl::Status check_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine) {
    STARLING_ASSIGN_OR_RETURN(const auto marker, read_engine_marker(files, directory));
    if (marker.has_value()) {
        STARLING_RETURN_IF_ERROR(check_engine_marker(*marker, directory, engine));
        if (marker->format == format_version) {
            return absl::OkStatus();
        }
    }
    return write_engine_marker(files, directory, engine);
}

}  // namespace starling::storage
