#include "base/out_of_memory.h"

#include <cstdio>
#include <cstdlib>
#include <new>

namespace starling::base {

void say_when_memory_runs_out() {
    std::set_new_handler([] {
        std::fputs("no memory left\n", stderr);
        std::abort();
    });
}

}  // namespace starling::base
