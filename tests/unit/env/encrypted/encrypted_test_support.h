#pragma once

// What the tests of encrypted files share: keys, a disk with a key on it, the bytes below.

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "env/encrypted/file_system.h"
#include "env/encrypted/segment.h"
#include "env/sim/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {

// Another one for each number.
inline MasterKey master_key(char number) {
    std::string bytes(secret_key_bytes, 'k');
    bytes[0] = number;
    return MasterKey(SecretKey(bytes));
}

struct EncryptedSimWorld {
    EncryptedSimWorld() {
        EXPECT_OK(disk.create_directory(root));
        EXPECT_OK(disk.sync_directory("/"));
    }
    SimFileSystem disk;
    SeededRandom random{1};
    EncryptedFileSystem files{disk, random, KeyRing(master_key(1))};
    std::string root = "/data";
};

// Content that no two places have in common, and that compresses to nothing familiar.
inline std::string text(size_t size, uint64_t seed = 0) {
    SeededRandom random(seed);
    std::string result;
    while (result.size() < size) {
        result += "Star" + std::to_string(random.next()) + "ling ";
    }
    result.resize(size);
    return result;
}

// A segment as it lies on the disk, found without any key.
struct RawSegment {
    uint64_t position;
    SegmentHeader header;
    std::string bytes;
};

// From the first segment to the first place that cannot be one.
inline std::vector<RawSegment> raw_segments(std::string_view raw) {
    std::vector<RawSegment> segments;
    uint64_t position = file_header_bytes;
    SegmentHeader header;
    while (position < raw.size() && parse_segment_header(raw.substr(position), position, header) &&
           position + header.stored_bytes() <= raw.size()) {
        segments.push_back(
            {position, header, std::string(raw.substr(position, header.stored_bytes()))});
        position += header.stored_bytes();
    }
    return segments;
}

inline void overwrite(SimFileSystem& disk, const std::string& path, std::string_view bytes) {
    EXPECT_OK(write_file(disk, path, bytes));
}

}  // namespace starling::env
