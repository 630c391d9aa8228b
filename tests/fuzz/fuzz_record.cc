// Two records, each without its checksum, which the target adds: a fuzzer does not find checksums.
// The first two bytes say where the second one begins. Oracles: what decodes encodes to the same
// bytes; with a wrong checksum nothing decodes; joining is idempotent, loses no context, and gives
// a record that is valid.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "node/version/record.h"

namespace {

using namespace starling;

std::optional<node::Record> decode(std::string_view body) {
    std::string bytes(body);
    base::put_u32(bytes, base::crc32c(body));
    auto record = node::decode_record(bytes);
    if (!record.ok()) {
        return std::nullopt;
    }
    std::string again;
    node::encode_record(again, *record);
    STARLING_CHECK(again == bytes);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    STARLING_CHECK(!node::decode_record(bytes).ok());
    return *std::move(record);
}

void check_valid(const node::Record& record) {
    std::string bytes;
    node::encode_record(bytes, record);
    const auto again = node::decode_record(bytes);
    STARLING_CHECK(again.ok());
    STARLING_CHECK(*again == record);
}

// The two need not be of one cluster's history, so of the laws only those hold that protect a
// replica from what a peer sends.
void check_join(const node::Record& left, const node::Record& right) {
    node::Record joined = left;
    const bool changed = node::join(joined, right);
    STARLING_CHECK(changed == !(joined == left));
    STARLING_CHECK(joined.context.covers(left.context) && joined.context.covers(right.context));
    check_valid(joined);
    STARLING_CHECK(!node::join(joined, node::Record(joined)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    base::Reader in(std::string_view(reinterpret_cast<const char*>(data), size));
    const size_t split = in.u16();
    const std::string_view bodies = in.rest();
    const std::string_view first = bodies.substr(0, split);
    const auto left = decode(first);
    const auto right = decode(bodies.substr(first.size()));
    if (left.has_value() && right.has_value()) {
        check_join(*left, *right);
        check_join(*right, *left);
    }
    return 0;
}
