#pragma once

// Checks that stay on in release builds. Only a bug of ours may trip one: what a peer, a disk, a
// client or a configuration file says is answered with a status instead.

#include <string_view>

namespace starling::base {

// Writes file, line, the condition and `message` to standard error, then aborts.
[[noreturn]] void check_failed(const char* file,
                               int line,
                               const char* condition,
                               std::string_view message);

}  // namespace starling::base

#define STARLING_CHECK(condition)                                               \
    do {                                                                        \
        if (!(condition)) [[unlikely]] {                                        \
            ::starling::base::check_failed(__FILE__, __LINE__, #condition, {}); \
        }                                                                       \
    } while (false)

#define STARLING_CHECK_MSG(condition, message)                                         \
    do {                                                                               \
        if (!(condition)) [[unlikely]] {                                               \
            ::starling::base::check_failed(__FILE__, __LINE__, #condition, (message)); \
        }                                                                              \
    } while (false)
