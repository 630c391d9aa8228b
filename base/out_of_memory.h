#pragma once

namespace starling::base {

// Of a program: from now on memory that cannot be had ends it, by an abort and with a message on
// standard error that says why. A library leaves that to its program.
void say_when_memory_runs_out();

}  // namespace starling::base
