#include "storage/engine_files.h"

#include <fmt/format.h>

#include "storage/bitcask/file_names.h"
#include "storage/lsm/file_names.h"

namespace starling::storage {

namespace {

constexpr std::string_view temporary_suffix = ".tmp";

// A file has one name: "7.log" is not one of ours.
std::optional<std::string_view> if_same(std::string_view name,
                                        const std::string& canonical,
                                        std::string_view kind) {
    return canonical.substr(1) == name ? std::optional(kind) : std::nullopt;
}

std::optional<std::string_view> lsm_file_kind(std::string_view name) {
    if (name == "CURRENT") {
        return "current";
    }
    const auto parsed = lsm::parse_file_name(name);
    if (!parsed.has_value()) {
        return std::nullopt;
    }
    switch (parsed->kind) {
        case lsm::FileKind::log:
            return if_same(name, lsm::log_path("", parsed->number), "log");
        case lsm::FileKind::table:
            return if_same(name, lsm::table_path("", parsed->number), "table");
        case lsm::FileKind::value_file:
            return if_same(name, lsm::value_file_path("", parsed->number), "values");
        case lsm::FileKind::manifest:
            return if_same(name, lsm::manifest_path("", parsed->number), "manifest");
        case lsm::FileKind::temporary:
            break;
    }
    return std::nullopt;
}

std::optional<std::string_view> bitcask_file_kind(std::string_view name) {
    if (bitcask::list_path("").substr(1) == name) {
        return "file list";
    }
    const auto parsed = bitcask::parse_file_name(name);
    if (!parsed.has_value()) {
        return std::nullopt;
    }
    switch (parsed->kind) {
        case bitcask::FileKind::data:
            return if_same(name, bitcask::data_path("", parsed->number), "data");
        case bitcask::FileKind::hint:
            return if_same(name, bitcask::hint_path("", parsed->number), "hint");
        case bitcask::FileKind::temporary:
            break;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string_view> engine_file_kind(std::string_view engine, std::string_view name) {
    if (name == lock_file_name) {
        return "lock";
    }
    if (name == engine_marker_name) {
        return "marker";
    }
    if (name == backup_list_name) {
        return "backup list";
    }
    if (name.ends_with(temporary_suffix)) {
        name.remove_suffix(temporary_suffix.size());
        return engine_file_kind(engine, name).has_value() && !name.ends_with(temporary_suffix)
                   ? std::optional<std::string_view>("temporary")
                   : std::nullopt;
    }
    if (engine == "lsm") {
        return lsm_file_kind(name);
    }
    return engine == "bitcask" ? bitcask_file_kind(name) : std::nullopt;
}

bool is_engine_data(std::string_view name) {
    if (const auto kind = lsm_file_kind(name); kind.has_value()) {
        return *kind != "manifest";
    }
    const auto kind = bitcask_file_kind(name);
    return kind.has_value() && *kind != "hint";
}

}  // namespace starling::storage
