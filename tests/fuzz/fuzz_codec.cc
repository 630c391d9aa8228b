// The input is a program for base::Reader and the bytes it reads. Oracles: what was read, written
// again, gives the bytes that were read (each value has one encoding); nothing is read after a
// failure; no view leaves the input.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/codec.h"

namespace {

using namespace starling::base;

constexpr size_t program_bytes_max = 16;

// One step of the program: reads, and writes to `out` what it read.
void step(uint8_t operation, Reader& in, std::string& out) {
    switch (operation % 9) {
        case 0:
            return put_u8(out, in.u8());
        case 1:
            return put_u16(out, in.u16());
        case 2:
            return put_u32(out, in.u32());
        case 3:
            return put_u64(out, in.u64());
        case 4:
            return put_u16_ordered(out, in.u16_ordered());
        case 5:
            return put_u64_ordered(out, in.u64_ordered());
        case 6:
            return put_varint(out, in.varint());
        case 7:
            return put_bytes(out, in.bytes());
        default: {
            const size_t element_size_min = 1 + operation / 9U;
            const size_t count = in.count(element_size_min);
            STARLING_CHECK(count * element_size_min <= in.rest().size());
            return put_varint(out, count);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::string_view program = input.substr(0, program_bytes_max);
    const std::string_view payload = input.substr(program.size());
    Reader in(payload);
    std::string written;
    for (const char operation : program) {
        std::string out;
        step(static_cast<uint8_t>(operation), in, out);
        if (in.failed()) {
            STARLING_CHECK(in.rest().empty() && !in.finished());
            STARLING_CHECK(in.u64() == 0 && in.bytes().empty() && in.count(1) == 0);
            return 0;
        }
        written += out;
        STARLING_CHECK(written == payload.substr(0, payload.size() - in.rest().size()));
    }
    STARLING_CHECK(in.finished() == (written.size() == payload.size()));
    return 0;
}
