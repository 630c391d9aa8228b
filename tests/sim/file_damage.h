#pragma once

#include <cstdint>
#include <string>

namespace starling::sim {

// One bit of a stored file that reads wrong, or a sector that cannot be read.
struct FileDamage {
    std::string path;
    uint64_t offset = 0;
    unsigned bit = 0;
    bool is_unreadable = false;
};

}  // namespace starling::sim
