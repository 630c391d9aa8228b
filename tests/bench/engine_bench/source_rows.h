#pragma once

// The figures that kvs, sled and EloqStore state of themselves, measured as they state them.

#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

// Prints one line per figure. The directory of `settings` is used and emptied again and again.
void run_source_rows(const EngineKind& engine, const EngineSettings& settings, double seconds);

}  // namespace starling::bench
