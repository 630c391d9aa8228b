#include "tests/sim/table_damage.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"
#include "tests/sim/machine.h"

namespace starling::sim {

namespace {

struct Table {
    std::string path;
    std::string content;
};

// Some, of one shard; those that are being written are none yet.
std::vector<Table> find_tables(const env::SimFileSystem& files,
                               uint32_t shards,
                               env::SimRandom& random) {
    const std::string directory =
        fmt::format("{}/shard-{}", Machine::data_directory, random.below(shards));
    std::vector<Table> tables;
    // Asked of a copy: looking counts as no operation and meets no fault.
    const auto names = files.clone()->list(directory);
    if (!names.ok()) return tables;
    for (const std::string& name : *names) {
        const auto parsed = storage::lsm::parse_file_name(name);
        if (!parsed || parsed->kind != storage::lsm::FileKind::table) continue;
        std::string path = fmt::format("{}/{}", directory, name);
        std::optional<std::string> content = files.durable_bytes(path);
        if (content && !content->empty())
            tables.push_back({.path = std::move(path), .content = *std::move(content)});
    }
    return tables;
}

// A table by its bytes, and where in it; REQUIRES: some table.
std::pair<const Table&, uint64_t> draw_place(const std::vector<Table>& tables,
                                             env::SimRandom& random) {
    uint64_t bytes = 0;
    for (const Table& table : tables)
        bytes += table.content.size();
    uint64_t offset = random.below(bytes);
    const Table* table = tables.data();
    for (; offset >= table->content.size(); ++table)
        offset -= table->content.size();
    return {*table, offset};
}

std::string_view sector_of(const Table& table, uint64_t offset) {
    const uint64_t begin = offset / env::sim_sector_size * env::sim_sector_size;
    return std::string_view(table.content).substr(begin, env::sim_sector_size);
}

}  // namespace

std::optional<FileDamage> find_table_damage(const env::SimFileSystem& files,
                                            uint32_t shards,
                                            env::SimRandom& random) {
    const std::vector<Table> tables = find_tables(files, shards, random);
    if (tables.empty()) return std::nullopt;
    const auto [table, offset] = draw_place(tables, random);
    const std::string_view sector = sector_of(table, offset);
    FileDamage damage{.path = table.path,
                      .offset = offset / env::sim_sector_size * env::sim_sector_size,
                      .bytes = std::string(sector.size(), '\0'),
                      .sound = std::string(sector)};
    switch (random.below(6)) {
        case 0:
        case 1:
            damage.kind = FileDamage::Kind::unreadable;
            break;
        case 2: {
            const auto [other, place] = draw_place(tables, random);
            const std::string_view there = sector_of(other, place);
            std::ranges::copy(there.substr(0, sector.size()), damage.bytes.begin());
            break;
        }
        case 3:
            break;
        default:
            damage.bytes = damage.sound;
    }
    if (damage.kind == FileDamage::Kind::altered && damage.bytes == damage.sound) {
        return flipped_bit(
            table.path, table.content, offset, static_cast<unsigned>(random.below(8)));
    }
    return damage;
}

std::optional<FileDamage> find_table_loss(const env::SimFileSystem& files,
                                          uint32_t shards,
                                          env::SimRandom& random) {
    std::vector<Table> tables = find_tables(files, shards, random);
    std::erase_if(tables, [&](const Table& table) { return !is_table_named(files, table.path); });
    if (tables.empty()) return std::nullopt;
    const auto [table, offset] = draw_place(tables, random);
    const bool is_missing = random.below(2) == 0;
    return FileDamage{.path = table.path,
                      .kind = is_missing ? FileDamage::Kind::missing : FileDamage::Kind::cut_off,
                      .offset = offset,
                      .bytes = {},
                      .sound = table.content};
}

bool is_table_named(const env::SimFileSystem& files, const std::string& path) {
    const size_t slash = path.rfind('/');
    const auto name = storage::lsm::parse_file_name(std::string_view(path).substr(slash + 1));
    if (!name || name->kind != storage::lsm::FileKind::table) return true;
    const auto disk = files.clone_after_crash();
    const auto state = storage::lsm::read_manifest(*disk, path.substr(0, slash));
    if (!state.ok() || !state->has_value()) return true;
    const storage::lsm::Version& version = *(*state)->version;
    for (size_t level = 0; level < storage::lsm::level_count; ++level) {
        if (std::ranges::any_of(version.level(level), [&](const storage::lsm::TablePtr& table) {
                return table->number == name->number;
            })) {
            return true;
        }
    }
    return false;
}

}  // namespace starling::sim
