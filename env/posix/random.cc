#include "env/posix/random.h"

#include <cerrno>

#include <sys/random.h>

#include "base/check.h"

namespace starling::env {

void fill_random(void* bytes, size_t count) {
    auto* rest = static_cast<char*>(bytes);
    while (count > 0) {
        const ssize_t got = getrandom(rest, count, 0);
        if (got < 0) {
            STARLING_CHECK_MSG(errno == EINTR, "getrandom failed");
            continue;
        }
        rest += got;
        count -= static_cast<size_t>(got);
    }
}

uint64_t PosixRandom::next() {
    if (used_ == block_.size()) {
        // getrandom never fails, and is never interrupted, for up to 256 bytes.
        fill_random(block_.data(), sizeof(block_));
        used_ = 0;
    }
    // What was handed out does not stay in memory.
    const uint64_t number = block_[used_];
    block_[used_++] = 0;
    return number;
}

}  // namespace starling::env
