#include "env/posix/frame.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "env/transport.h"

namespace starling::env {
namespace {

std::string encoded(std::string_view payload, FrameKind kind = FrameKind::data) {
    std::string out;
    append_frame_header(out, kind, payload);
    out.append(payload);
    return out;
}

// Feeds `input` in pieces of at most `cut` bytes; the payloads, and how it ended.
struct Decoded {
    std::vector<std::string> payloads;
    absl::Status status;
};

Decoded decode(FrameDecoder& decoder, std::string_view input, size_t cut) {
    Decoded result;
    while (!input.empty()) {
        const FrameDecoder::Room room = decoder.writable();
        const size_t count = std::min({room.size, input.size(), cut});
        std::memcpy(room.data, input.data(), count);
        input.remove_prefix(count);
        decoder.commit(count);
        for (;;) {
            const auto frame = decoder.next();
            if (!frame.ok()) {
                result.status = frame.status();
                return result;
            }
            if (!*frame) {
                break;
            }
            result.payloads.emplace_back((*frame)->payload);
        }
    }
    return result;
}

RC_GTEST_PROP(FrameDecoderProperty, WhateverTheCutsTheSameFramesComeOut, ()) {
    const auto payloads =
        *rc::gen::container<std::vector<std::string>>(rc::gen::string<std::string>());
    const auto cut = *rc::gen::inRange<size_t>(1, 40);
    std::string stream;
    for (const std::string& payload : payloads) {
        stream += encoded(payload);
    }
    FrameDecoder decoder(frame_bytes_max);
    const Decoded decoded = decode(decoder, stream, cut);
    RC_ASSERT(decoded.status.ok());
    RC_ASSERT(decoded.payloads == payloads);
}

RC_GTEST_PROP(FrameDecoderProperty, ArbitraryBytesEndInAnErrorOrWaitForMore, ()) {
    const auto bytes = *rc::gen::string<std::string>();
    const auto cut = *rc::gen::inRange<size_t>(1, 40);
    FrameDecoder decoder(1000);
    const Decoded decoded = decode(decoder, bytes, cut);
    RC_ASSERT(decoded.payloads.size() * frame_header_bytes <= bytes.size());
}

TEST(FrameDecoderTest, EveryFlippedBitIsNoticed) {
    const std::string frame = encoded("some payload");
    for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
        std::string damaged = frame;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        FrameDecoder decoder(1000);
        const Decoded decoded = decode(decoder, damaged, 1000);
        EXPECT_TRUE(decoded.payloads.empty()) << "bit " << bit;
    }
}

TEST(FrameDecoderTest, ALengthAboveTheLimitIsRefusedBeforeMemoryIsTaken) {
    const std::string frame = encoded(std::string(1001, 'x'));
    FrameDecoder decoder(1000);
    const size_t before = decoder.buffer_bytes();
    const Decoded decoded = decode(decoder, frame.substr(0, frame_header_bytes), 1000);
    EXPECT_EQ(decoded.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(decoder.buffer_bytes(), before);
}

TEST(FrameDecoderTest, AnAnnouncedLengthTakesNoMemoryUntilItsBytesArrive) {
    const std::string frame = encoded(std::string(frame_bytes_max, 'x'));
    FrameDecoder decoder(frame_bytes_max);
    decode(decoder, frame.substr(0, 1000), 1000);
    EXPECT_LE(decoder.writable().size, 128u << 10);
    EXPECT_LE(decoder.buffer_bytes(), 128u << 10);
}

TEST(FrameDecoderTest, ALargeFramesMemoryIsGivenBackAfterIt) {
    const std::string payload(10u << 20, 'x');
    FrameDecoder decoder(frame_bytes_max);
    const Decoded decoded = decode(decoder, encoded(payload), 70'000);
    ASSERT_EQ(decoded.payloads.size(), 1u);
    EXPECT_TRUE(decoded.payloads[0] == payload);
    EXPECT_LE(decoder.buffer_bytes(), (10u << 20) + (32u << 10));
    decoder.writable();
    EXPECT_LE(decoder.buffer_bytes(), 128u << 10);
}

TEST(FrameDecoderTest, AfterOneMalformedFrameNothingMoreComesOut) {
    FrameDecoder decoder(1000);
    std::string damaged = encoded("first");
    damaged.back() ^= 1;
    EXPECT_EQ(decode(decoder, damaged, 1000).status.code(), absl::StatusCode::kDataLoss);
    const Decoded later = decode(decoder, encoded("second"), 1000);
    EXPECT_TRUE(later.payloads.empty());
    EXPECT_EQ(later.status.code(), absl::StatusCode::kDataLoss);
}

TEST(FrameDecoderTest, AnUnknownKindAndAKeepaliveWithAPayloadAreMalformed) {
    FrameDecoder decoder(1000);
    EXPECT_EQ(decode(decoder, encoded("", static_cast<FrameKind>(3)), 1000).status.code(),
              absl::StatusCode::kInvalidArgument);
    FrameDecoder another(1000);
    EXPECT_EQ(decode(another, encoded("x", FrameKind::keepalive), 1000).status.code(),
              absl::StatusCode::kInvalidArgument);
}

// docs/formats/frame.md, byte by byte.
TEST(FrameFormatTest, TheBytesAreThoseOfTheFormatPage) {
    EXPECT_EQ(encoded("abc"),
              std::string("\x01\x03\x00\x00\x00\x38\x26\x3e\x2b"
                          "abc",
                          12));
}

}  // namespace
}  // namespace starling::env
