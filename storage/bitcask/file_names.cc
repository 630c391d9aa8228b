#include "storage/bitcask/file_names.h"

#include <charconv>

#include <fmt/format.h>

namespace starling::storage::bitcask {

namespace {

constexpr std::string_view data_suffix = ".data";
constexpr std::string_view hint_suffix = ".hint";

std::optional<FileName> with_number(FileKind kind, std::string_view digits) {
    uint64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || stop != end || number == 0) {
        return std::nullopt;
    }
    return FileName{.kind = kind, .number = number};
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
