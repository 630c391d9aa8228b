#include "tests/sim/table_damage.h"

#include <string>
#include <vector>

#include <fmt/format.h>

#include "storage/lsm/file_names.h"
#include "tests/sim/machine.h"

namespace starling::sim {

std::optional<FileDamage> find_table_damage(env::SimFileSystem& files,
                                            uint32_t shards,
                                            env::SimRandom& random) {
    const std::string directory =
        fmt::format("{}/shard-{}", Machine::data_directory, random.below(shards));
    // Asked of a copy: looking counts as no operation and meets no fault.
    const auto copy = files.clone();
    const auto names = copy->list(directory);
    if (!names.ok()) return std::nullopt;
    std::vector<std::string> tables;
    for (const std::string& name : *names) {
        const auto parsed = storage::lsm::parse_file_name(name);
        if (parsed && parsed->kind == storage::lsm::FileKind::table)
            tables.push_back(fmt::format("{}/{}", directory, name));
    }
    if (tables.empty()) return std::nullopt;
    const std::string& path = tables[random.below(tables.size())];
    const auto size = copy->file_size(path);
    if (!size.ok() || *size == 0) return std::nullopt;
    const uint64_t offset = random.below(*size);
    return FileDamage{.path = path,
                      .offset = offset,
                      .bit = static_cast<unsigned>(random.below(8)),
                      .is_unreadable = random.fork("unreadable", offset).below(3) == 0};
}

}  // namespace starling::sim
