#pragma once

#include <cstdint>
#include <string>

namespace starling::sim {

// One bit of a stored file that reads wrong.
struct FileDamage {
    std::string path;
    uint64_t offset = 0;
    unsigned bit = 0;
};

}  // namespace starling::sim
