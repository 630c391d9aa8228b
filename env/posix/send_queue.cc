#include "env/posix/send_queue.h"

#include <utility>

#include "base/check.h"
#include "env/posix/frame.h"

namespace starling::env {
namespace {

// Copying a frame below this size costs less than a buffer of its own in the system call.
constexpr size_t own_chunk_bytes_min = 32u << 10;
constexpr size_t chunk_bytes_max = 128u << 10;
// Of one writev: Linux takes 1024, Asio 64.
constexpr size_t batch_chunks_max = 64;

}  // namespace

bool SendQueue::append(std::string frame) {
    const uint64_t size = frame.size() + frame_header_bytes;
    if ((bytes_ > 0 && bytes_ + size > bytes_max_) || budget_->bytes + size > budget_->bytes_max) {
        return false;
    }
    charge(size);
    if (frame.size() < own_chunk_bytes_min) {
        Chunk& chunk = open_chunk(size);
        append_frame_header(chunk.bytes, FrameKind::data, frame);
        chunk.bytes.append(frame);
        ++chunk.frames;
        return true;
    }
    append_frame_header(open_chunk(frame_header_bytes).bytes, FrameKind::data, frame);
    chunks_.push_back({.bytes = std::move(frame), .frames = 1, .is_sealed = true});
    return true;
}

void SendQueue::append_keepalive() {
    charge(frame_header_bytes);
    append_frame_header(open_chunk(frame_header_bytes).bytes, FrameKind::keepalive, {});
}

const std::vector<std::string_view>& SendQueue::take_batch(size_t bytes_max) {
    STARLING_CHECK(batch_.empty() && !chunks_.empty());
    views_.clear();
    size_t bytes = 0;
    while (!chunks_.empty() && batch_.size() < batch_chunks_max && bytes < bytes_max) {
        bytes += chunks_.front().bytes.size();
        batch_.push_back(std::move(chunks_.front()));
        chunks_.pop_front();
    }
    for (const Chunk& chunk : batch_) {
        views_.emplace_back(chunk.bytes);
    }
    return views_;
}

void SendQueue::batch_written() {
    for (Chunk& chunk : batch_) {
        bytes_ -= chunk.bytes.size();
        budget_->bytes -= chunk.bytes.size();
        recycle(std::move(chunk.bytes));
    }
    batch_.clear();
}

uint64_t SendQueue::clear() {
    uint64_t frames = 0;
    for (const Chunk& chunk : batch_) {
        frames += chunk.frames;
    }
    for (const Chunk& chunk : chunks_) {
        frames += chunk.frames;
    }
    budget_->bytes -= bytes_;
    bytes_ = 0;
    chunks_.clear();
    return frames;
}

SendQueue::Chunk& SendQueue::open_chunk(size_t bytes) {
    if (chunks_.empty() || chunks_.back().is_sealed ||
        chunks_.back().bytes.size() + bytes > chunk_bytes_max) {
        chunks_.emplace_back();
        chunks_.back().bytes = std::exchange(spare_, {});
    }
    return chunks_.back();
}

void SendQueue::charge(uint64_t bytes) {
    bytes_ += bytes;
    budget_->bytes += bytes;
}

void SendQueue::recycle(std::string bytes) {
    if (bytes.capacity() > spare_.capacity() && bytes.capacity() <= 2 * chunk_bytes_max) {
        bytes.clear();
        spare_ = std::move(bytes);
    }
}

}  // namespace starling::env
