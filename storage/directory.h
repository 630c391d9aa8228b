#pragma once

#include <string>

namespace starling::storage {

// The directory that holds `path`.
inline std::string parent_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) {
        return ".";
    }
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace starling::storage
