#include "env/posix/transfer.h"

#include <cerrno>
#include <utility>

#include <unistd.h>

#include "base/check.h"
#include "env/posix/retry.h"

namespace starling::env {

namespace {

// A child of the process that made the first request has its bookkeeping, and not its threads.
bool has_threads() {
    static const pid_t owner = ::getpid();
    return ::getpid() == owner;
}

}  // namespace

template <typename Begin, typename DoAtOnce>
void Transfer::start(
    Begin begin, DoAtOnce do_at_once, int file, char* memory, size_t count, uint64_t offset) {
    STARLING_CHECK(!under_way_);
    request_ = {};
    request_.aio_fildes = file;
    request_.aio_buf = memory;
    request_.aio_nbytes = count;
    request_.aio_offset = static_cast<off_t>(offset);
    request_.aio_sigevent.sigev_notify = SIGEV_NONE;
    under_way_ = true;
    done_at_once_ = !has_threads() || begin(&request_) != 0;
    if (done_at_once_) {
        const ssize_t done = retry_interrupted(
            [&] { return do_at_once(file, memory, count, static_cast<off_t>(offset)); });
        result_ = done < 0 ? -errno : done;
    }
}

void Transfer::start_read(int file, char* into, size_t count, uint64_t offset) {
    start(::aio_read, ::pread, file, into, count, offset);
}

void Transfer::start_write(int file, char* from, size_t count, uint64_t offset) {
    start(::aio_write, ::pwrite, file, from, count, offset);
}

ssize_t Transfer::wait() {
    if (!std::exchange(under_way_, false)) {
        return 0;
    }
    if (done_at_once_) {
        return result_;
    }
    const aiocb* const requests[] = {&request_};
    int error = 0;
    while ((error = ::aio_error(&request_)) == EINPROGRESS) {
        // An interrupted one looks again.
        ::aio_suspend(requests, 1, nullptr);
    }
    const ssize_t result = ::aio_return(&request_);
    return error != 0 ? -error : result;
}

}  // namespace starling::env
