#pragma once

// What a session has seen of keys, as its client holds it: opaque, and authenticated with the
// cluster's secret. A *mark* says of one key which dots a later read must reflect; a token is any
// number of marks, one behind another, so tokens are joined by putting their bytes together.
// Layout: docs/formats/record.md; what a token promises: docs/guarantees.md.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "base/ids.h"
#include "node/version/context.h"

namespace starling::node {

// A client's token above this is refused unread.
inline constexpr size_t session_token_bytes_max = size_t{64} * 1024;

class SessionSealer {
  public:
    explicit SessionSealer(std::string_view secret);

    // The mark of one key. Empty when `seen` is: nothing is to be seen.
    std::string seal(base::NamespaceId name_space, std::string_view key, const Context& seen) const;
    // What all marks of the key say together; marks of other keys are passed over unverified, so an
    // empty context means "nothing of this key". invalid_argument with reason malformed_session
    // (too long, or not well formed) or forged_session (a mark of this key that this cluster did
    // not issue).
    absl::StatusOr<Context> open(base::NamespaceId name_space,
                                 std::string_view key,
                                 std::string_view token) const;

  private:
    std::string tag_of(base::NamespaceId name_space,
                       std::string_view key,
                       std::string_view payload) const;
    // Tells marks of this key from those of others. Keyed, so that nobody can choose two keys that
    // share one.
    uint64_t label_of(base::NamespaceId name_space, std::string_view key) const;

    // Made from the secret for this one purpose.
    std::string token_key_;
    uint64_t label_seed_ = 0;
};

}  // namespace starling::node
