// Value files. The input is a list of values, of which the target makes a file, and damage to it.
// Oracles: without damage each value comes back by its pointer and the file verifies; with it each
// read gives the value or data_loss. A pointer of the input, to a record of the input whose
// checksum is right, gives that record or data_loss.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/sim/file_system.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/value_file.h"

namespace {

using namespace starling;
using namespace starling::storage;
using namespace starling::storage::lsm;

constexpr uint64_t number = 7;
constexpr size_t values_max = 32;
const std::string directory = "/v";

void check_written(std::string_view input) {
    base::Reader in(input);
    const uint64_t flip_at = in.u16();
    const auto flips = static_cast<char>(in.u8());
    const uint64_t cut = in.u8();
    env::SimFileSystem files;
    STARLING_CHECK(files.create_directory(directory).ok());
    auto writer = *ValueFileWriter::create(files, directory, number);
    std::vector<std::pair<ValuePointer, std::string_view>> written;
    for (size_t count = in.u8() % values_max; count > 0 && !in.failed(); --count) {
        const std::string_view value = in.bytes();
        written.emplace_back(*writer->append(value, never), value);
    }
    const ValueFileMetadata metadata = *writer->finish();
    writer.reset();
    const std::string path = value_file_path(directory, number);
    std::string content = *env::read_file(files, path, metadata.file_bytes);
    const std::string original = content;
    if (flip_at < content.size()) {
        content[flip_at] = static_cast<char>(content[flip_at] ^ flips);
    }
    content.resize(content.size() - std::min<uint64_t>(cut, content.size()));
    STARLING_CHECK(env::replace_file(files, path, content).ok());
    const bool damaged = content != original;
    STARLING_CHECK(verify_value_file(files, directory, metadata).ok() != damaged);
    ValueFiles values(files, directory, 4);
    for (const auto& [pointer, value] : written) {
        const auto found = values.read(pointer);
        STARLING_CHECK(found.ok() ? *found == value : damaged && absl::IsDataLoss(found.status()));
    }
}

void check_foreign(std::string_view input) {
    base::Reader in(input);
    const ValuePointer pointer{
        .expiry = in.varint(), .file = number, .offset = in.varint(), .size = in.u32()};
    const bool sizes_agree = in.u8() % 2 == 0;
    const std::string_view value = in.rest();
    // The record as the pointer says it is: with its place and its size in the checksum.
    std::string place;
    base::put_u64(place, number);
    base::put_u64(place, pointer.offset);
    base::put_u32(place, pointer.size);
    std::string record;
    base::put_u32(record, base::crc32c_extend(base::crc32c(place), value));
    base::put_u32(record, sizes_agree ? pointer.size : static_cast<uint32_t>(value.size()));
    record.append(value);
    std::string file(std::min<uint64_t>(pointer.offset, 200), '\0');
    file += record;
    env::SimFileSystem files;
    STARLING_CHECK(files.create_directory(directory).ok());
    STARLING_CHECK(env::replace_file(files, value_file_path(directory, number), file).ok());
    ValueFiles values(files, directory, 4);
    const auto found = values.read(pointer);
    if (found.ok()) {
        STARLING_CHECK(found->size() == pointer.size && *found == value);
    } else {
        STARLING_CHECK(absl::IsDataLoss(found.status()));
    }
    verify_value_file(files, directory, {.number = number, .file_bytes = file.size()})
        .IgnoreError();
    // The input as a whole file, behind a header that is right.
    auto writer = *ValueFileWriter::create(files, directory, number);
    const ValueFileMetadata header = *writer->finish();
    writer.reset();
    std::string whole =
        *env::read_file(files, value_file_path(directory, number), header.file_bytes);
    whole.append(input);
    STARLING_CHECK(env::replace_file(files, value_file_path(directory, number), whole).ok());
    verify_value_file(files, directory, {.number = number, .file_bytes = whole.size()})
        .IgnoreError();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    check_written(input);
    check_foreign(input);
    return 0;
}
