// Version edits and the manifest that is made of them. Oracles: an edit that is accepted has keys
// that are keys, and is read back the same when it is written again; a manifest of such edits, its
// checksums right, is a version whose description gives the same version, or data_loss; and as a
// whole manifest, with and without a header that fits, the input harms nothing.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/sim/file_system.h"
#include "storage/log/record_file.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"
#include "storage/lsm/version_edit.h"

namespace {

using namespace starling;
using namespace starling::storage;
using namespace starling::storage::lsm;

constexpr uint64_t number = 7;
constexpr size_t edits_max = 8;
const std::string directory = "/m";

void check_edit(std::string_view input) {
    const auto edit = decode_version_edit(input);
    if (!edit.ok()) {
        STARLING_CHECK(absl::IsDataLoss(edit.status()));
        return;
    }
    // What readers rely on.
    for (const VersionEdit::Added& added : edit->added) {
        STARLING_CHECK(added.level < level_count);
        STARLING_CHECK(is_internal_key(added.table.smallest));
        STARLING_CHECK(is_internal_key(added.table.largest));
    }
    const std::string encoded = encode_version_edit(*edit);
    const auto again = decode_version_edit(encoded);
    STARLING_CHECK(again.ok() && encode_version_edit(*again) == encoded);
}

std::string describe(const Version& version) {
    VersionEdit whole;
    version.describe(whole);
    whole.next_file_number = 1;
    return encode_version_edit(whole);
}

void read_as_manifest(const std::string& content) {
    env::SimFileSystem files;
    std::string current = fmt::format("manifest {:06}\n", number);
    current += fmt::format("checksum {:08x}\n", base::crc32c(current));
    STARLING_CHECK(files.create_directory(directory).ok() &&
                   env::replace_file(files, current_path(directory), current).ok() &&
                   env::replace_file(files, manifest_path(directory, number), content).ok());
    const auto state = read_manifest(files, directory);
    if (!state.ok()) {
        STARLING_CHECK(absl::IsDataLoss(state.status()));
        STARLING_CHECK(state.status().message().find(manifest_path(directory, number)) !=
                       std::string_view::npos);
        return;
    }
    STARLING_CHECK(state->has_value() && (*state)->manifest_number == number);
    // What is written as one step is what was read as many.
    const std::string whole = describe(*(*state)->version);
    const auto edit = decode_version_edit(whole);
    STARLING_CHECK(edit.ok());
    const auto version = Version().apply(*edit);
    STARLING_CHECK(version.ok() && describe(**version) == whole);
}

std::string sealed(const std::vector<std::string_view>& edits) {
    std::string file = encode_record_file_header(RecordFileKind::manifest, number, 0);
    for (const std::string_view edit : edits) {
        append_record(file, static_cast<uint64_t>(&edit - edits.data()), file.size(), edit);
    }
    seal_records(file.data() + record_file_header_bytes,
                 file.data() + file.size(),
                 number,
                 record_file_header_bytes);
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    check_edit(input);
    read_as_manifest(std::string(input));
    read_as_manifest(sealed({input}));
    base::Reader in(input);
    std::vector<std::string_view> edits;
    const size_t count = in.u8() % edits_max;
    while (edits.size() < count && !in.failed()) {
        edits.push_back(in.bytes());
    }
    if (!edits.empty()) {
        read_as_manifest(sealed(edits));
    }
    return 0;
}
