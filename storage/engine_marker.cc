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

std::string encode(const EngineMarker& marker) {
    std::string text =
        fmt::format("starling storage\nengine {}\nformat {}\n", marker.engine, marker.format);
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
    std::string_view rest = text;
    EngineMarker marker;
    const bool titled = take_line(rest, "starling").has_value();
    marker.engine = std::string(take_line(rest, "engine").value_or(""));
    if (const auto format = take_line(rest, "format"); titled && format.has_value()) {
        std::from_chars(format->data(), format->data() + format->size(), marker.format);
    }
    // What was understood and is written the same way is what was read, checksum included.
    if (encode(marker) != text) {
        return absl::DataLossError(fmt::format("{} is damaged", path));
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
    return env::replace_file(
        files, marker_path(directory), encode({.engine = engine, .format = format_version}));
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
