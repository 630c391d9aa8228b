#pragma once

// What becomes of a stored file behind the node's back, and how it was before.

#include <cstdint>
#include <string>
#include <string_view>

#include "env/sim/file_system.h"

namespace starling::sim {

struct FileDamage {
    enum class Kind : uint8_t {
        // Reads `bytes` from `offset` on: a flipped bit, a sector of zeros or one of another place.
        altered,
        // The sector at `offset` cannot be read.
        unreadable,
        // Ends at `offset`.
        cut_off,
        missing,
    };

    std::string path;
    Kind kind = Kind::altered;
    uint64_t offset = 0;
    std::string bytes;
    // As many bytes as they replace; else all of the file.
    std::string sound;

    // The file as such, which no process may have open then.
    bool takes_file() const { return kind == Kind::cut_off || kind == Kind::missing; }

    friend bool operator==(const FileDamage&, const FileDamage&) = default;
};

std::string to_string(const FileDamage& damage);

// `content`: of the file. REQUIRES: the offset is within it.
FileDamage flipped_bit(std::string path, std::string_view content, uint64_t offset, unsigned bit);

// Of a file that is gone: nothing.
void inflict(const FileDamage& damage, env::SimFileSystem& disk);
void undo(const FileDamage& damage, env::SimFileSystem& disk);

}  // namespace starling::sim
