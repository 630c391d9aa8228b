#pragma once

// What waits to be written to one peer, already framed. Small frames are copied side by side into
// chunks, so that all that a turn of the loop queued leaves in one system call; large ones keep
// their own buffer. The bytes count against the queue's own limit and against a budget that all
// queues of a transport share. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace starling::env {

struct ByteBudget {
    uint64_t bytes_max = 0;
    uint64_t bytes = 0;
};

class SendQueue {
  public:
    // Shared, because the queue of a connection that was closed lives until the last handler of its
    // socket has gone, which may be after the transport.
    SendQueue(uint64_t bytes_max, std::shared_ptr<ByteBudget> budget)
        : bytes_max_(bytes_max), budget_(std::move(budget)) {}
    ~SendQueue() { clear(); }
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;

    // False when a limit would be exceeded; the frame is then not queued. One frame always fits
    // into an empty queue, if it fits into the budget.
    bool append(std::string frame);
    void append_keepalive();

    // The next bytes to write, about `bytes_max` of them; valid until batch_written() or clear().
    // REQUIRES: not empty, no batch is out.
    const std::vector<std::string_view>& take_batch(size_t bytes_max);
    void batch_written();

    bool empty() const { return chunks_.empty(); }
    // Of the batch that is out, too.
    uint64_t bytes() const { return bytes_; }
    // Drops everything; returns how many frames that were. The memory of a batch that is out stays
    // while the queue lives, for the write that may still be looking at it; such a queue takes no
    // more frames.
    uint64_t clear();

  private:
    struct Chunk {
        std::string bytes;
        uint64_t frames = 0;
        // A large frame's own buffer: nothing is appended to it.
        bool is_sealed = false;
    };

    Chunk& open_chunk(size_t bytes);
    void charge(uint64_t bytes);
    void recycle(std::string bytes);

    const uint64_t bytes_max_;
    const std::shared_ptr<ByteBudget> budget_;
    uint64_t bytes_ = 0;
    std::deque<Chunk> chunks_;
    std::vector<Chunk> batch_;
    std::vector<std::string_view> views_;
    // Of a chunk that was written, to be used again.
    std::string spare_;
};

}  // namespace starling::env
