// The small text files that a start believes: ENGINE and CURRENT. The target adds the checksum to
// the lines of the input. Oracle: there is one way to write what is accepted; anything else is
// data_loss, or failed_precondition where it looks encrypted, and names the file.

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "env/sim/file_system.h"
#include "storage/engine_marker.h"
#include "storage/log/record_file.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"

namespace {

using namespace starling;
using namespace starling::storage;

const std::string directory = "/d";

std::string with_checksum(std::string text) {
    return text + fmt::format("checksum {:08x}\n", base::crc32c(text));
}

void check_marker(const std::string& text) {
    env::SimFileSystem files;
    const std::string path = directory + "/ENGINE";
    STARLING_CHECK(files.create_directory(directory).ok() &&
                   env::replace_file(files, path, text).ok());
    const auto marker = read_engine_marker(files, directory);
    if (!marker.ok()) {
        const bool looks_encrypted = text.starts_with(env::encrypted_file_magic);
        STARLING_CHECK(looks_encrypted ? absl::IsFailedPrecondition(marker.status())
                                       : absl::IsDataLoss(marker.status()));
        STARLING_CHECK(marker.status().message().find(path) != std::string_view::npos);
        return;
    }
    STARLING_CHECK(marker->has_value());
    STARLING_CHECK(text == with_checksum(fmt::format("starling storage\nengine {}\nformat {}\n",
                                                     (*marker)->engine,
                                                     (*marker)->format)));
    const absl::Status status = check_engine_marker(**marker, directory, "lsm");
    STARLING_CHECK(status.ok() ==
                   ((*marker)->engine == "lsm" && (*marker)->format >= format_version_min &&
                    (*marker)->format <= format_version));
}

void check_current(const std::string& text) {
    env::SimFileSystem files;
    STARLING_CHECK(files.create_directory(directory).ok() &&
                   env::replace_file(files, lsm::current_path(directory), text).ok());
    const auto state = lsm::read_manifest(files, directory);
    // There is no manifest, so either of the two is named.
    STARLING_CHECK(absl::IsDataLoss(state.status()));
    const bool names_manifest =
        state.status().message().find("/manifest-") != std::string_view::npos;
    const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
    const std::string_view digits = line.substr(line.find(' ') + 1);
    STARLING_CHECK(!names_manifest || text == with_checksum(fmt::format("manifest {}\n", digits)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string input(reinterpret_cast<const char*>(data), size);
    for (const std::string& text : {input,
                                    with_checksum(input),
                                    with_checksum("starling storage\n" + input),
                                    with_checksum("starling storage\nengine " + input + "\n")}) {
        check_marker(text);
    }
    for (const std::string& text :
         {input, with_checksum(input), with_checksum("manifest " + input + "\n")}) {
        check_current(text);
    }
    return 0;
}
