// The byte stream of a connection. The first byte says in which pieces it arrives, and whether the
// rest is the stream itself or a list of frames for the target to put checksums on. Oracles: frames
// come out as they were put in, whatever the cuts; what comes out encodes to the bytes that went
// in; after the first failure nothing comes out; memory stays in proportion to what has arrived.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "env/posix/frame.h"

namespace {

using namespace starling;
using env::FrameDecoder;
using env::FrameKind;

constexpr size_t payload_bytes_max = size_t{4} << 20;
constexpr size_t decoder_bytes_usual = size_t{128} << 10;

struct Decoded {
    std::vector<std::string> frames;
    // The frames, encoded again.
    std::string encoded;
    bool failed = false;

    friend bool operator==(const Decoded&, const Decoded&) = default;
};

void take_frames(FrameDecoder& decoder, Decoded& out) {
    for (;;) {
        const auto frame = decoder.next();
        if (!frame.ok()) {
            out.failed = true;
            STARLING_CHECK(decoder.next().status() == frame.status());
            return;
        }
        if (!frame->has_value()) {
            return;
        }
        out.frames.emplace_back((*frame)->payload);
        env::append_frame_header(out.encoded, (*frame)->kind, (*frame)->payload);
        out.encoded.append((*frame)->payload);
    }
}

Decoded decode(std::string_view stream, size_t piece_max) {
    FrameDecoder decoder(payload_bytes_max);
    Decoded out;
    for (size_t arrived = 0; arrived < stream.size() && !out.failed;) {
        const FrameDecoder::Room room = decoder.writable();
        STARLING_CHECK(room.size > 0);
        const size_t count = std::min({room.size, piece_max, stream.size() - arrived});
        std::memcpy(room.data, stream.data() + arrived, count);
        decoder.commit(count);
        arrived += count;
        take_frames(decoder, out);
        STARLING_CHECK(decoder.buffer_bytes() <= decoder_bytes_usual + 4 * arrived);
    }
    return out;
}

// A list of kinds and payloads as a stream.
std::string sealed(std::string_view list) {
    base::Reader in(list);
    std::string stream;
    while (!in.rest().empty()) {
        const auto kind = static_cast<FrameKind>(in.u8());
        const std::string_view payload = in.bytes();
        env::append_frame_header(stream, kind, payload);
        stream.append(payload);
    }
    return stream;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    base::Reader in(std::string_view(reinterpret_cast<const char*>(data), size));
    const uint8_t how = in.u8();
    const std::string stream = (how & 1) != 0 ? sealed(in.rest()) : std::string(in.rest());
    const Decoded whole = decode(stream, stream.size());
    STARLING_CHECK(whole.encoded == std::string_view(stream).substr(0, whole.encoded.size()));
    STARLING_CHECK(decode(stream, 1 + how / 2U) == whole);
    return 0;
}
