#pragma once

#include <cstddef>
#include <cstdint>

#include <aio.h>
#include <sys/types.h>

namespace starling::env {

// One read or write of a file that goes on while its owner does something else: POSIX AIO, whose
// threads the C library starts when they are needed, and ends. The memory and the descriptor must
// stay until wait() or destruction. Used by one thread at a time.
class Transfer {
  public:
    Transfer() = default;
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    ~Transfer() { wait(); }

    // REQUIRES of both: none is under way.
    void start_read(int file, char* into, size_t count, uint64_t offset);
    void start_write(int file, char* from, size_t count, uint64_t offset);

    bool is_under_way() const { return under_way_; }
    // How many bytes were transferred, or the negated errno; 0 when none was under way.
    ssize_t wait();

  private:
    template <typename Begin, typename DoAtOnce>
    void start(
        Begin begin, DoAtOnce do_at_once, int file, char* memory, size_t count, uint64_t offset);

    aiocb request_{};
    bool under_way_ = false;
    // The system took no request: it was done at once, with this result.
    bool done_at_once_ = false;
    ssize_t result_ = 0;
};

}  // namespace starling::env
