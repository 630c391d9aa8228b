// Encrypted files. The input says what is appended, flushed, synced and cut, and what is damaged
// below. Oracles: without damage the content comes back; with it a read gives an error, or a prefix
// of what was there at some time. A header of the input whose checksum is right opens nothing; and
// as a whole file below, the input harms nothing.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/encrypted/file_header.h"
#include "env/encrypted/file_system.h"
#include "env/sim/file_system.h"
#include "env/sim/random.h"

namespace {

using namespace starling;
using namespace starling::env;

constexpr uint64_t bytes_max = 1u << 20;
constexpr size_t steps_max = 24;
const std::string path = "/file";

MasterKey master_key() {
    return MasterKey(SecretKey(std::string(secret_key_bytes, 'k')));
}

struct World {
    SimFileSystem disk;
    SimRandom random{1};
    EncryptedFileSystem files{disk, random, KeyRing(master_key())};
};

// What the file held, after each step.
std::vector<std::string> write(World& world, base::Reader& in) {
    std::vector<std::string> states;
    std::string content;
    auto file = *world.files.create(path);
    for (size_t steps = in.u8() % steps_max; steps > 0 && !in.failed(); --steps) {
        switch (in.u8() % 4) {
            case 0: {
                const std::string piece(in.u16() % 9000, static_cast<char>(in.u8()));
                STARLING_CHECK(file->append(piece).ok());
                content += piece;
                break;
            }
            case 1:
                STARLING_CHECK(file->flush().ok());
                break;
            case 2:
                STARLING_CHECK(file->sync().ok());
                break;
            default: {
                STARLING_CHECK(file->close().ok());
                content.resize(content.size() - std::min<size_t>(in.u16(), content.size()));
                STARLING_CHECK(world.files.truncate(path, content.size()).ok());
                file = *world.files.open_for_append(path);
            }
        }
        states.push_back(content);
    }
    STARLING_CHECK(file->close().ok());
    states.push_back(content);
    return states;
}

void check_written(std::string_view input) {
    base::Reader in(input);
    World world;
    const uint64_t flip_at = in.u16();
    const auto flips = static_cast<char>(in.u8());
    const uint64_t cut = in.u16() % 5000;
    const std::vector<std::string> states = write(world, in);
    const std::string below = *read_file(world.disk, path, 2 * bytes_max);
    std::string harmed = below;
    if (flip_at < harmed.size()) {
        harmed[flip_at] = static_cast<char>(harmed[flip_at] ^ flips);
    }
    harmed.resize(harmed.size() - std::min<uint64_t>(cut, harmed.size()));
    STARLING_CHECK(replace_file(world.disk, path, harmed).ok());
    const auto found = read_file(world.files, path, bytes_max);
    if (harmed == below) {
        STARLING_CHECK(found.ok() && *found == states.back());
    } else if (found.ok()) {
        // Of a step that nothing behind it proves, what was before may show.
        STARLING_CHECK(std::any_of(states.begin(), states.end(), [&](const std::string& state) {
            return state.starts_with(*found);
        }));
    } else {
        STARLING_CHECK(absl::IsDataLoss(found.status()) ||
                       absl::IsFailedPrecondition(found.status()));
        STARLING_CHECK(found.status().message().find(path) != std::string_view::npos);
    }
}

void check_header(std::string_view input) {
    std::string bytes(input.substr(0, file_header_bytes - 4));
    bytes.resize(file_header_bytes - 4);
    for (const bool magic : {false, true}) {
        if (magic) {
            bytes.replace(0, file_header_magic.size(), file_header_magic);
        }
        std::string header = bytes;
        base::put_u32(header, base::crc32c(header));
        for (const FileHeaderKind kind : {FileHeaderKind::file, FileHeaderKind::key_file}) {
            const auto decoded = decode_file_header(header, kind, path);
            if (decoded.ok()) {
                STARLING_CHECK(decoded->kind == kind);
                STARLING_CHECK(!unwrap(*decoded, master_key()).has_value());
            }
        }
        World world;
        STARLING_CHECK(replace_file(world.disk, path, header + std::string(input)).ok());
        STARLING_CHECK(!read_file(world.files, path, bytes_max).ok());
    }
}

void check_foreign(std::string_view input) {
    World world;
    STARLING_CHECK(replace_file(world.disk, path, input).ok());
    // Nothing but an empty file can be made without the key.
    const auto found = read_file(world.files, path, bytes_max);
    STARLING_CHECK(!found.ok() || found->empty());
    // Behind a header that is right.
    STARLING_CHECK((*world.files.create(path))->close().ok());
    const std::string header = *read_file(world.disk, path, bytes_max);
    STARLING_CHECK(replace_file(world.disk, path, header + std::string(input)).ok());
    const auto behind = read_file(world.files, path, bytes_max);
    STARLING_CHECK(!behind.ok() || behind->empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    check_written(input);
    check_header(input);
    check_foreign(input);
    return 0;
}
