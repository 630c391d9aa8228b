#pragma once

#include <memory>

#include "storage/engine.h"

namespace starling::storage {

// Reads go to `engine`; each change is failed_precondition, reason read_only, before it gets there.
std::unique_ptr<Engine> make_read_only(std::unique_ptr<Engine> engine);

}  // namespace starling::storage
