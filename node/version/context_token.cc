#include "node/version/context_token.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "node/version/request_ids.h"

namespace starling::node {

namespace {

constexpr uint8_t token_format = 1;
// Half of SHA-256: 128 bits cannot be guessed online, and tokens travel with every put.
constexpr size_t tag_bytes = 16;
constexpr size_t token_bytes_min = 1 + tag_bytes + 2;

std::string to_bytes(const base::HmacTag& tag, size_t size) {
    return std::string(reinterpret_cast<const char*>(tag.data()), size);
}

absl::Status malformed(std::string_view what) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::malformed_context, what);
}

}  // namespace

ContextSealer::ContextSealer(std::string_view secret)
    : token_key_(to_bytes(base::hmac_sha256(secret, "starling context v1"),
                          std::tuple_size_v<base::HmacTag>)) {}

std::string ContextSealer::seal(base::NamespaceId name_space,
                                std::string_view key,
                                const Superseded& seen) const {
    std::string payload;
    seen.context.encode(payload);
    put_request_ids(payload, seen.requests);
    std::string token;
    token.reserve(1 + tag_bytes + payload.size());
    base::put_u8(token, token_format);
    token += tag_of(name_space, key, payload);
    token += payload;
    return token;
}

absl::StatusOr<Superseded> ContextSealer::open(base::NamespaceId name_space,
                                               std::string_view key,
                                               std::string_view token) const {
    if (token.empty()) return Superseded{};
    if (token.size() > context_token_bytes_max) {
        STARLING_MARK(context_too_long);
        return malformed(fmt::format(
            "the context has {} bytes; {} are allowed", token.size(), context_token_bytes_max));
    }
    if (token.size() < token_bytes_min) {
        STARLING_MARK(context_too_short);
        return malformed(fmt::format("the context has {} bytes, too few to be one", token.size()));
    }
    base::Reader in(token);
    if (const uint8_t format = in.u8(); format != token_format) {
        STARLING_MARK(context_of_unknown_format);
        return malformed(fmt::format("the context has the unknown format {}", format));
    }
    const std::string_view tag = in.take(tag_bytes);
    if (!base::equal_constant_time(tag, tag_of(name_space, key, in.rest()))) {
        STARLING_MARK(context_forged);
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::forged_context,
                                "the context was not issued by this cluster for this key");
    }
    Superseded seen;
    seen.context = Context::decode(in);
    seen.requests = read_request_ids(in);
    if (!in.finished()) return malformed("the context is not well formed");
    return seen;
}

std::string ContextSealer::tag_of(base::NamespaceId name_space,
                                  std::string_view key,
                                  std::string_view payload) const {
    std::string message;
    message.reserve(key.size() + payload.size() + 24);
    base::put_u8(message, token_format);
    base::put_u64(message, name_space.raw());
    base::put_bytes(message, key);
    message += payload;
    return to_bytes(token_key_.tag_of(message), tag_bytes);
}

}  // namespace starling::node
