#include "env/posix/frame.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"

namespace starling::env {
namespace {

// What one read takes at most while frames are small, and what is kept when they are again.
constexpr size_t buffer_bytes_usual = 128u << 10;
// Less room than this is not worth a read.
constexpr size_t room_bytes_min = 16u << 10;
constexpr size_t checksum_offset = 5;

}  // namespace

void append_frame_header(std::string& out, FrameKind kind, std::string_view payload) {
    const size_t start = out.size();
    base::put_u8(out, static_cast<uint8_t>(kind));
    base::put_u32(out, static_cast<uint32_t>(payload.size()));
    const uint32_t of_header = base::crc32c(std::string_view(out).substr(start));
    base::put_u32(out, base::crc32c_extend(of_header, payload));
}

FrameDecoder::FrameDecoder(size_t payload_bytes_max) : payload_bytes_max_(payload_bytes_max) {
    resize(buffer_bytes_usual);
}

FrameDecoder::Room FrameDecoder::writable() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
        if (capacity_ > buffer_bytes_usual) {
            resize(buffer_bytes_usual);
        }
    }
    if (capacity_ - end_ < room_bytes_min) {
        const size_t held = end_ - begin_;
        resize(held * 2 > capacity_ ? grown_capacity() : capacity_);
    }
    return {.data = buffer_.get() + end_, .size = capacity_ - end_};
}

void FrameDecoder::commit(size_t count) {
    STARLING_CHECK(count <= capacity_ - end_);
    end_ += count;
}

absl::StatusOr<std::optional<FrameDecoder::Frame>> FrameDecoder::next() {
    if (!failure_.ok()) {
        return failure_;
    }
    absl::StatusOr<std::optional<Frame>> frame = take();
    if (!frame.ok()) {
        failure_ = frame.status();
    }
    return frame;
}

absl::StatusOr<std::optional<FrameDecoder::Frame>> FrameDecoder::take() {
    const std::string_view input(buffer_.get() + begin_, end_ - begin_);
    if (input.size() < frame_header_bytes) {
        return std::nullopt;
    }
    base::Reader header(input.substr(0, frame_header_bytes));
    const uint8_t kind = header.u8();
    const uint32_t length = header.u32();
    const uint32_t checksum = header.u32();
    const bool is_data = kind == static_cast<uint8_t>(FrameKind::data);
    if (!is_data && kind != static_cast<uint8_t>(FrameKind::keepalive)) {
        return absl::InvalidArgumentError(fmt::format("a frame of unknown kind {}", kind));
    }
    if (length > (is_data ? payload_bytes_max_ : 0)) {
        return absl::InvalidArgumentError(fmt::format("a frame of {} bytes", length));
    }
    if (input.size() - frame_header_bytes < length) {
        return std::nullopt;
    }
    const std::string_view payload = input.substr(frame_header_bytes, length);
    const uint32_t of_header = base::crc32c(input.substr(0, checksum_offset));
    if (base::crc32c_extend(of_header, payload) != checksum) {
        return absl::DataLossError(fmt::format("bad checksum of a frame of {} bytes", length));
    }
    begin_ += frame_header_bytes + length;
    return Frame{.kind = static_cast<FrameKind>(kind), .payload = payload};
}

// A buffer that is more than half full with one unfinished frame doubles, up to what that frame
// needs.
size_t FrameDecoder::grown_capacity() const {
    base::Reader header(std::string_view(buffer_.get() + begin_, frame_header_bytes));
    header.u8();
    const size_t frame_bytes = frame_header_bytes + header.u32();
    const size_t held = end_ - begin_;
    return std::min(capacity_ * 2, std::max(frame_bytes, held) + room_bytes_min);
}

void FrameDecoder::resize(size_t capacity) {
    const size_t held = end_ - begin_;
    if (capacity == capacity_) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, held);
    } else {
        std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(capacity);
        if (held > 0) {
            std::memcpy(buffer.get(), buffer_.get() + begin_, held);
        }
        buffer_ = std::move(buffer);
        capacity_ = capacity;
    }
    begin_ = 0;
    end_ = held;
}

}  // namespace starling::env
