#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/engine.h"

namespace starling::storage {

struct NamedFigure {
    std::string name;
    uint64_t value;
};

// For those who show or export them: every figure under the name that it has in EngineStatistics,
// times in microseconds, levels as level_0_tables and so on.
std::vector<NamedFigure> named_figures(const EngineStatistics& statistics);

}  // namespace starling::storage
