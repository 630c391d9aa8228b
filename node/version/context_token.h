#pragma once

// The context as a client holds it: opaque, and authenticated with the cluster's secret for one key
// of one namespace. A coordinator that lags behind cannot tell an invented sequence from one it has
// not seen yet, so what was not issued by a node of this cluster for this very key does not verify.
// Layout: docs/formats/record.md.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "base/hmac.h"
#include "base/ids.h"
#include "node/version/record.h"

namespace starling::node {

// A client's token above this is refused unread. Room for some 2,000 actors and ids.
inline constexpr size_t context_token_bytes_max = size_t{64} * 1024;

class ContextSealer {
  public:
    explicit ContextSealer(std::string_view secret);

    std::string seal(base::NamespaceId name_space,
                     std::string_view key,
                     const Superseded& seen) const;
    // invalid_argument with reason malformed_context (too short, too long, unknown format, not well
    // formed) or forged_context (not issued by this cluster for this key). An empty token is a
    // valid one: "I have seen nothing".
    absl::StatusOr<Superseded> open(base::NamespaceId name_space,
                                    std::string_view key,
                                    std::string_view token) const;

  private:
    std::string tag_of(base::NamespaceId name_space,
                       std::string_view key,
                       std::string_view payload) const;

    // Made from the secret for this one purpose: no tag made elsewhere in the cluster can pass for
    // one here.
    base::HmacKey token_key_;
};

}  // namespace starling::node
