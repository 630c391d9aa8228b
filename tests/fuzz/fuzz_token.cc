// Tokens that clients hold for a context. The input is what such a client sends, and also a
// record's body (as for fuzz_record) whose reading is sealed. Oracles: a token opens to what was
// sealed, for its own key, namespace and secret only, and not with a bit of it changed; what nobody
// sealed does not open.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "node/version/context_token.h"
#include "node/version/record.h"
#include "node/version/session_token.h"

namespace {

using namespace starling;

const base::NamespaceId name_space(3);
constexpr std::string_view key = "key";

bool is_refused(const absl::StatusOr<node::Superseded>& opened) {
    return absl::IsInvalidArgument(opened.status()) && !base::reason_of(opened.status()).empty();
}

void check_sealed(const node::ContextSealer& sealer, const node::Superseded& seen, uint64_t where) {
    std::string token = sealer.seal(name_space, key, seen);
    if (token.size() > node::context_token_bytes_max) {
        return;
    }
    const auto opened = sealer.open(name_space, key, token);
    STARLING_CHECK(opened.ok() && *opened == seen);
    if (token.empty()) {
        return;
    }
    STARLING_CHECK(is_refused(sealer.open(name_space, "kez", token)));
    STARLING_CHECK(is_refused(sealer.open(base::NamespaceId(4), key, token)));
    STARLING_CHECK(is_refused(node::ContextSealer("another secret").open(name_space, key, token)));
    char& byte = token[where / 8 % token.size()];
    byte = static_cast<char>(byte ^ (1 << (where % 8)));
    STARLING_CHECK(is_refused(sealer.open(name_space, key, token)));
}

// A session's token, sealed and in front of whatever came: what was sealed stays readable, or the
// whole is refused; what nobody sealed says nothing.
void check_session(std::string_view input, const node::Context& seen) {
    static const node::SessionSealer sealer("secret");
    const auto alone = sealer.open(name_space, key, input);
    STARLING_CHECK(alone.ok() ? alone->empty() : absl::IsInvalidArgument(alone.status()));
    const std::string mark = sealer.seal(name_space, key, seen);
    const auto both = sealer.open(name_space, key, mark + std::string(input));
    STARLING_CHECK(both.ok() ? *both == seen : absl::IsInvalidArgument(both.status()));
    STARLING_CHECK(sealer.open(name_space, "kez", mark)->empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const node::ContextSealer sealer("secret");
    base::Reader in(std::string_view(reinterpret_cast<const char*>(data), size));
    STARLING_CHECK(size == 0 || is_refused(sealer.open(name_space, key, in.rest())));
    check_session(in.rest(), {});
    const uint16_t where = in.u16();
    std::string bytes(in.rest());
    base::put_u32(bytes, base::crc32c(bytes));
    const auto record = node::decode_record(bytes);
    if (record.ok()) {
        check_sealed(sealer, node::Superseded::by_reading(*record), where);
        check_session(in.rest().substr(0, 64), record->context);
    }
    return 0;
}
