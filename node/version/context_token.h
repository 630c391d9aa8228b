#pragma once

// The context as a client holds it: opaque, and authenticated with the cluster's secret for one key of one
// namespace. A coordinator that lags behind cannot tell an invented sequence from one it has not seen
// yet, so what was not issued by a node of this cluster for this very key does not verify.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "node/version/record.h"

namespace starling::node {

class ContextSealer {
  public:
    explicit ContextSealer(std::string secret);

    std::string seal(base::NamespaceId name_space, std::string_view key, const Superseded& seen) const;
    // invalid_argument, naming what was wrong: too short, too long, unknown format, or not issued by this cluster
    // for this key. An empty token is a valid one: "I have seen nothing".
    absl::StatusOr<Superseded> open(base::NamespaceId name_space,
                                    std::string_view key,
                                    std::string_view token) const;

  private:
    std::string secret_;
};

}  // namespace starling::node
