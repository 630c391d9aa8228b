#include "storage/bitcask/file_list.h"

#include <charconv>

#include <fmt/format.h>

#include "base/crc32c.h"
#include "storage/bitcask/file_names.h"

namespace starling::storage::bitcask {

namespace {

constexpr uint64_t list_bytes_max = 64u << 20;
constexpr std::string_view title = "starling bitcask files\n";

// Takes the digits at the front of `text`, and one character after them.
uint64_t take_number(std::string_view& text) {
    uint64_t number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(std::min<size_t>(text.size(), static_cast<size_t>(stop - text.data()) + 1));
    return number;
}

bool take_word(std::string_view& text, std::string_view word) {
    if (!text.starts_with(word)) {
        return false;
    }
    text.remove_prefix(word.size());
    return true;
}

}  // namespace

std::string encode_file_list(const FileList& list) {
    std::string text(title);
    for (const ListedFile& file : list.files) {
        text +=
            fmt::format("{} {:06} {}\n", file.merged ? "merged" : "data", file.number, file.bytes);
    }
    text += fmt::format("log {:06} {} {}\n", list.log.number, list.log.position, list.log.flushed);
    text += fmt::format("checksum {:08x}\n", base::crc32c(text));
    return text;
}

std::optional<FileList> decode_file_list(std::string_view text) {
    FileList list;
    std::string_view rest = text;
    if (!take_word(rest, title)) {
        return std::nullopt;
    }
    for (;;) {
        const bool merged = take_word(rest, "merged ");
        if (!merged && !take_word(rest, "data ")) {
            break;
        }
        ListedFile file{.number = take_number(rest), .bytes = 0, .merged = merged};
        file.bytes = take_number(rest);
        if (file.number <= (list.files.empty() ? 0 : list.files.back().number)) {
            return std::nullopt;
        }
        list.files.push_back(file);
    }
    if (!take_word(rest, "log ")) {
        return std::nullopt;
    }
    list.log.number = take_number(rest);
    list.log.position = take_number(rest);
    list.log.flushed = take_number(rest);
    // Whatever was read too generously, or not at all, shows here.
    if (text != encode_file_list(list)) {
        return std::nullopt;
    }
    return list;
}

absl::StatusOr<std::optional<FileList>> read_file_list(env::FileSystem& files,
                                                       const std::string& directory) {
    const std::string path = list_path(directory);
    const absl::StatusOr<std::string> text = env::read_file(files, path, list_bytes_max);
    if (absl::IsNotFound(text.status())) {
        return std::nullopt;
    }
    if (!text.ok() && !absl::IsOutOfRange(text.status())) {
        return text.status();
    }
    std::optional<FileList> list = text.ok() ? decode_file_list(*text) : std::nullopt;
    if (!list.has_value()) {
        return absl::DataLossError(fmt::format("{} is damaged", path));
    }
    return list;
}

absl::Status replace_file_list(env::FileSystem& files,
                               const std::string& directory,
                               const FileList& list) {
    return env::replace_file(files, list_path(directory), encode_file_list(list));
}

}  // namespace starling::storage::bitcask
