#include <algorithm>

#include <fmt/format.h>

#include "storage/bitcask/changes.h"
#include "storage/bitcask/data_file.h"
#include "storage/bitcask/file_list.h"
#include "storage/bitcask/file_names.h"
#include "storage/tool/checker.h"

namespace starling::storage::tool {

namespace {

void check_data_file(Checker& checker, const bitcask::ListedFile& file) {
    const std::string path = bitcask::data_path(checker.directory(), file.number);
    const auto size = checker.files().file_size(path);
    if (absl::IsNotFound(size.status())) {
        checker.damage(path, 0, "the file is missing, but the list names it");
        return;
    }
    if (size.ok() && *size != file.bytes) {
        checker.damage(
            path, 0, fmt::format("has {} bytes, but was written with {}", *size, file.bytes));
    }
    const auto kind = file.merged ? RecordFileKind::merged_data : RecordFileKind::data;
    checker.check_records(path, kind, file.number, [&](std::string_view payload) {
        return bitcask::changes_of(payload, 1, file.number, 0).status();
    });
}

void check_hint(Checker& checker, const bitcask::ListedFile& file) {
    const std::string path = bitcask::hint_path(checker.directory(), file.number);
    const auto exists = checker.files().exists(path);
    if (!exists.ok() || !*exists) {
        return;
    }
    const size_t before = checker.damage_count();
    checker.check_records(
        path, RecordFileKind::hint, file.number, [](std::string_view) { return absl::OkStatus(); });
    const auto content = env::read_file(checker.files(), path, bitcask::data_file_bytes_max);
    const bool usable =
        content.ok() && bitcask::decode_hint(*content, file, [](const bitcask::Change&) {
            return absl::OkStatus();
        });
    if (!usable && checker.damage_count() == before) {
        checker.damage(path, 0, "is no hint of its data file");
    }
}

}  // namespace

void verify_bitcask(Checker& checker, const std::vector<std::string>& names) {
    const std::string path = bitcask::list_path(checker.directory());
    const auto list = bitcask::read_file_list(checker.files(), checker.directory());
    if (!list.ok()) {
        checker.damage(path, 0, list.status());
        return;
    }
    std::vector<uint64_t> behind;
    for (const std::string& name : names) {
        const auto parsed = bitcask::parse_file_name(name);
        if (parsed.has_value() && parsed->kind == bitcask::FileKind::data) {
            behind.push_back(parsed->number);
        }
    }
    if (!list->has_value()) {
        if (!behind.empty()) {
            checker.damage(path, 0, "the file is missing, but there are data files");
        }
        return;
    }
    checker.count(checker.files().file_size(path).value_or(0));
    const bitcask::FileList& known = **list;
    for (const bitcask::ListedFile& file : known.files) {
        check_data_file(checker, file);
        check_hint(checker, file);
        std::erase(behind, file.number);
    }
    std::erase_if(behind, [&](uint64_t number) { return number < known.log.number; });
    checker.check_log(std::move(behind), known.log, RecordFileKind::data, bitcask::data_path);
}

}  // namespace starling::storage::tool
