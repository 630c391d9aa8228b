#include "storage/lsm/checkpoint.h"

#include <algorithm>
#include <vector>

#include "base/status_macros.h"
#include "storage/build_directory.h"
#include "storage/engine_marker.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"

namespace starling::storage::lsm {

namespace {

constexpr uint64_t log_bytes_max = uint64_t{4} << 30;

class Checkpoint {
  public:
    Checkpoint(env::FileSystem& files, const std::string& from, const std::string& to)
        : files_(files), from_(from), to_(to) {}

    // `durable`: where the log of `from` was durable before `state` was taken.
    absl::Status run(const CatalogState& state, LogPosition durable) {
        for (size_t level = 0; level < level_count; ++level) {
            for (const TablePtr& table : state.version->level(level)) {
                STARLING_RETURN_IF_ERROR(
                    files_.link(table_path(from_, table->number), table_path(to_, table->number)));
            }
        }
        for (const Version::ValueFile& file : state.version->value_files()) {
            STARLING_RETURN_IF_ERROR(files_.link(value_file_path(from_, file.number),
                                                 value_file_path(to_, file.number)));
        }
        STARLING_RETURN_IF_ERROR(copy_log(state.log, durable));
        STARLING_RETURN_IF_ERROR(files_.sync_directory(to_));
        VersionEdit whole;
        state.version->describe(whole);
        whole.log = state.log;
        whole.next_file_number = state.next_file_number + 1;
        Manifest manifest(files_, to_);
        STARLING_RETURN_IF_ERROR(manifest.begin(state.next_file_number, whole));
        return write_engine_marker(files_, to_, "lsm");
    }

  private:
    absl::Status copy_log(const LogStart& start, LogPosition durable) {
        STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(from_));
        for (const std::string& name : names) {
            const auto parsed = parse_file_name(name);
            if (parsed.has_value() && parsed->kind == FileKind::log &&
                parsed->number >= start.number) {
                STARLING_RETURN_IF_ERROR(copy_log_file(parsed->number, start.number, durable));
            }
        }
        return absl::OkStatus();
    }

    // Files that begin behind what is durable are left out, but for the first one, which must
    // exist.
    absl::Status copy_log_file(uint64_t number, uint64_t first, LogPosition durable) {
        STARLING_ASSIGN_OR_RETURN(std::string content,
                                  env::read_file(files_, log_path(from_, number), log_bytes_max));
        const RecordReader reader(content, RecordFileKind::log, number);
        if (!reader.has_header() || (reader.base() >= durable && number != first)) {
            return absl::OkStatus();
        }
        const uint64_t wanted = std::max<uint64_t>(
            record_file_header_bytes, durable > reader.base() ? durable - reader.base() : 0);
        content.resize(std::min<uint64_t>(content.size(), wanted));
        STARLING_ASSIGN_OR_RETURN(const auto copy, files_.create(log_path(to_, number)));
        STARLING_RETURN_IF_ERROR(copy->append(content));
        STARLING_RETURN_IF_ERROR(copy->sync());
        return copy->close();
    }

    env::FileSystem& files_;
    const std::string& from_;
    const std::string& to_;
};

}  // namespace

absl::Status make_checkpoint(env::FileSystem& files,
                             const std::string& from,
                             const std::string& to,
                             Catalog& catalog,
                             const Log& log) {
    const Catalog::FileHold hold(catalog);
    const LogPosition durable = log.durable_position();
    const CatalogState state = catalog.state();
    return build_directory(files, to, [&](const std::string& partial) {
        return Checkpoint(files, from, partial).run(state, durable);
    });
}

}  // namespace starling::storage::lsm
