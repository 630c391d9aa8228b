#include "storage/lsm/file_names.h"

#include <fmt/format.h>

#include "storage/file_number.h"

namespace starling::storage::lsm {

namespace {

constexpr std::string_view log_suffix = ".log";
constexpr std::string_view table_suffix = ".table";
constexpr std::string_view value_file_suffix = ".values";
constexpr std::string_view manifest_prefix = "manifest-";

std::optional<FileName> with_number(FileKind kind, std::string_view digits) {
    const std::optional<uint64_t> number = parse_file_number(digits);
    return number.has_value() ? std::optional<FileName>({.kind = kind, .number = *number})
                              : std::nullopt;
}

}  // namespace

std::string log_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{:06}{}", directory, number, log_suffix);
}
std::string table_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{:06}{}", directory, number, table_suffix);
}
std::string value_file_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{:06}{}", directory, number, value_file_suffix);
}
std::string manifest_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{}{:06}", directory, manifest_prefix, number);
}
std::string current_path(const std::string& directory) {
    return directory + "/CURRENT";
}

absl::Status missing_file(const std::string& path) {
    return absl::DataLossError(fmt::format("{} is missing, but the manifest names it", path));
}
absl::Status wrong_size(const std::string& path, uint64_t bytes, uint64_t expected) {
    return absl::DataLossError(
        fmt::format("{}: has {} bytes, but was written with {}", path, bytes, expected));
}

std::optional<FileName> parse_file_name(std::string_view name) {
    if (name.ends_with(".tmp")) {
        return FileName{.kind = FileKind::temporary, .number = 0};
    }
    if (name.ends_with(log_suffix)) {
        return with_number(FileKind::log, name.substr(0, name.size() - log_suffix.size()));
    }
    if (name.ends_with(table_suffix)) {
        return with_number(FileKind::table, name.substr(0, name.size() - table_suffix.size()));
    }
    if (name.ends_with(value_file_suffix)) {
        return with_number(FileKind::value_file,
                           name.substr(0, name.size() - value_file_suffix.size()));
    }
    if (name.starts_with(manifest_prefix)) {
        return with_number(FileKind::manifest, name.substr(manifest_prefix.size()));
    }
    return std::nullopt;
}

}  // namespace starling::storage::lsm
