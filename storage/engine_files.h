#pragma once

// Which names in a data directory are whose (docs/formats/data_directory.md).

#include <optional>
#include <string>
#include <string_view>

namespace starling::storage {

inline constexpr std::string_view lock_file_name = "LOCK";
inline constexpr std::string_view engine_marker_name = "ENGINE";
inline constexpr std::string_view backup_list_name = "BACKUP";

// What `engine` keeps in a file of this name, in a word: "lock", "marker", "log", ... An empty
// engine: only what all of them have. nullopt: nothing of ours.
std::optional<std::string_view> engine_file_kind(std::string_view engine, std::string_view name);

// A name that only a file with data of some engine has.
bool is_engine_data(std::string_view name);

}  // namespace starling::storage
