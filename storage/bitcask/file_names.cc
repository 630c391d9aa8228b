#include "storage/bitcask/file_names.h"

#include <fmt/format.h>

#include "storage/file_number.h"

namespace starling::storage::bitcask {

namespace {

constexpr std::string_view data_suffix = ".data";
constexpr std::string_view hint_suffix = ".hint";

std::optional<FileName> with_number(FileKind kind, std::string_view digits) {
    const std::optional<uint64_t> number = parse_file_number(digits);
    return number.has_value() ? std::optional<FileName>({.kind = kind, .number = *number})
                              : std::nullopt;
}

}  // namespace

std::string data_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{:06}{}", directory, number, data_suffix);
}
std::string hint_path(const std::string& directory, uint64_t number) {
    return fmt::format("{}/{:06}{}", directory, number, hint_suffix);
}
std::string list_path(const std::string& directory) {
    return directory + "/FILES";
}

std::optional<FileName> parse_file_name(std::string_view name) {
    if (name.ends_with(".tmp")) {
        return FileName{.kind = FileKind::temporary, .number = 0};
    }
    if (name.ends_with(data_suffix)) {
        return with_number(FileKind::data, name.substr(0, name.size() - data_suffix.size()));
    }
    if (name.ends_with(hint_suffix)) {
        return with_number(FileKind::hint, name.substr(0, name.size() - hint_suffix.size()));
    }
    return std::nullopt;
}

}  // namespace starling::storage::bitcask
