#pragma once

#include <cerrno>

namespace starling::env {

// The result of a system call that is made again whenever a signal interrupts it.
template <typename Call>
auto retry_interrupted(Call call) {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) {
            return result;
        }
    }
}

}  // namespace starling::env
