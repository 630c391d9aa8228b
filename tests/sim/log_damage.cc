#include "tests/sim/log_damage.h"

#include <algorithm>
#include <vector>

#include "storage/log/record_file.h"
#include "storage/lsm/file_names.h"

namespace starling::sim {

using storage::LogPosition;

namespace {

uint64_t newest_log(env::SimFileSystem& files, const std::string& directory) {
    uint64_t newest = 0;
    const auto names = files.clone()->list(directory);
    if (!names.ok()) return newest;
    for (const std::string& name : *names) {
        const auto parsed = storage::lsm::parse_file_name(name);
        if (parsed && parsed->kind == storage::lsm::FileKind::log)
            newest = std::max(newest, parsed->number);
    }
    return newest;
}

}  // namespace

std::optional<FileDamage> find_log_damage(env::SimFileSystem& files,
                                          const std::string& directory,
                                          env::SimRandom& random) {
    const uint64_t number = newest_log(files, directory);
    if (number == 0) return std::nullopt;
    const std::string path = storage::lsm::log_path(directory, number);
    const std::optional<std::string> content = files.durable_bytes(path);
    if (!content) return std::nullopt;
    storage::RecordReader reader(*content, storage::RecordFileKind::log, number);
    std::vector<uint64_t> ends;
    LogPosition claimed = 0;
    storage::Record record;
    while (reader.has_header() && reader.next(record)) {
        ends.push_back(reader.offset());
        claimed = std::max(claimed, record.durable);
    }
    // The record that makes the claim lies behind all that it claims.
    std::erase_if(ends, [&](uint64_t end) { return reader.base() + end > claimed; });
    if (ends.empty()) return std::nullopt;
    const uint64_t begin = storage::record_file_header_bytes;
    const uint64_t offset = begin + random.below(ends.back() - begin);
    return flipped_bit(path, *content, offset, static_cast<unsigned>(random.below(8)));
}

}  // namespace starling::sim
