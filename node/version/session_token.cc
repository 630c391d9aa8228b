#include "node/version/session_token.h"

#include <fmt/format.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/hmac.h"

namespace starling::node {

namespace {

constexpr uint8_t mark_format = 1;
constexpr size_t tag_bytes = 16;

std::string to_bytes(const base::HmacTag& tag, size_t size) {
    return std::string(reinterpret_cast<const char*>(tag.data()), size);
}

absl::Status malformed(std::string_view what) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::malformed_session, what);
}

}  // namespace

SessionSealer::SessionSealer(std::string_view secret)
    : token_key_(to_bytes(base::hmac_sha256(secret, "starling session v1"),
                          std::tuple_size_v<base::HmacTag>)) {
    const std::string seed = to_bytes(base::hmac_sha256(token_key_, "label"), sizeof(uint64_t));
    label_seed_ = base::Reader(seed).u64();
}

std::string SessionSealer::seal(base::NamespaceId name_space,
                                std::string_view key,
                                const Context& seen) const {
    std::string mark;
    if (seen.empty()) return mark;
    std::string payload;
    seen.encode(payload);
    base::put_u8(mark, mark_format);
    base::put_u64(mark, label_of(name_space, key));
    mark += tag_of(name_space, key, payload);
    base::put_bytes(mark, payload);
    return mark;
}

absl::StatusOr<Context> SessionSealer::open(base::NamespaceId name_space,
                                            std::string_view key,
                                            std::string_view token) const {
    if (token.size() > session_token_bytes_max) {
        return malformed(fmt::format("the session token has {} bytes; {} are allowed",
                                     token.size(),
                                     session_token_bytes_max));
    }
    Context seen;
    if (token.empty()) return seen;
    const uint64_t label = label_of(name_space, key);
    base::Reader in(token);
    while (!in.finished()) {
        const uint8_t format = in.u8();
        const uint64_t of = in.u64();
        const std::string_view tag = in.take(tag_bytes);
        const std::string_view payload = in.bytes();
        if (in.failed()) return malformed("the session token is not well formed");
        if (format != mark_format) {
            return malformed(fmt::format("the session token has the unknown format {}", format));
        }
        if (of != label) continue;
        if (!base::equal_constant_time(tag, tag_of(name_space, key, payload))) {
            return base::make_error(absl::StatusCode::kInvalidArgument,
                                    base::reason::forged_session,
                                    "the session token was not issued by this cluster");
        }
        base::Reader content(payload);
        seen.merge(Context::decode(content));
        if (!content.finished()) return malformed("the session token is not well formed");
    }
    return seen;
}

std::string SessionSealer::tag_of(base::NamespaceId name_space,
                                  std::string_view key,
                                  std::string_view payload) const {
    std::string message;
    message.reserve(key.size() + payload.size() + 24);
    base::put_u8(message, mark_format);
    base::put_u64(message, name_space.raw());
    base::put_bytes(message, key);
    message += payload;
    return to_bytes(base::hmac_sha256(token_key_, message), tag_bytes);
}

uint64_t SessionSealer::label_of(base::NamespaceId name_space, std::string_view key) const {
    return base::xxh3_64(key, label_seed_ ^ name_space.raw());
}

}  // namespace starling::node
