#pragma once

// The bytes of one connection after its handshake: docs/formats/frame.md. Encoder and decoder only;
// no I/O, no state of a connection.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace starling::env {

enum class FrameKind : uint8_t {
    // Bytes of whoever uses the transport.
    data = 1,
    // Empty: says that its sender lives.
    keepalive = 2,
};

inline constexpr size_t frame_header_bytes = 9;

// Appends the header of a frame with this payload.
void append_frame_header(std::string& out, FrameKind kind, std::string_view payload);

// Takes bytes as they arrive, in any cuts, and gives back whole frames.
//
//     const auto [tail, room] = decoder.writable();
//     decoder.commit(read(socket, tail, room));
//     for (;;) { auto frame = decoder.next(); if (!frame.ok() || !*frame) break; ... }
//
// Invariants:
// 1. Memory grows with what has arrived (a small multiple of it), never with what a header
// announces.
// 2. After the first malformed frame nothing more comes out of it.
class FrameDecoder {
  public:
    struct Frame {
        FrameKind kind = FrameKind::data;
        // Valid until the next call of writable().
        std::string_view payload;
    };
    struct Room {
        char* data;
        size_t size;
    };

    explicit FrameDecoder(size_t payload_bytes_max);

    // Where to put the next bytes: at least one.
    Room writable();
    // `count` bytes were put there.
    void commit(size_t count);

    // The next whole frame, or none until more bytes arrive. invalid_argument: a header that is
    // none, or a length above the limit. data_loss: the checksum does not match.
    absl::StatusOr<std::optional<Frame>> next();

    size_t buffer_bytes() const { return capacity_; }

  private:
    absl::StatusOr<std::optional<Frame>> take();
    size_t grown_capacity() const;
    void resize(size_t capacity);

    const size_t payload_bytes_max_;
    std::unique_ptr<char[]> buffer_;
    size_t capacity_ = 0;
    // The undecoded bytes are [begin_, end_).
    size_t begin_ = 0;
    size_t end_ = 0;
    absl::Status failure_;
};

}  // namespace starling::env
