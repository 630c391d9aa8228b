#pragma once

// What one simulated client remembers: the contexts it was given, per key, and what it knows each
// of them to cover. It hands them out as a client of any quality would: the latest, an older one,
// one of another key, a forgery.

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "env/sim/random.h"
#include "tests/sim/oracle.h"

namespace starling::sim {

struct SeenToken {
    std::string token;
    std::vector<WriteId> seen;
    // Of a read: see Write::context_clock_ms.
    uint64_t clock_ms = 0;
};

class Session {
  public:
    void remember_read(KeyIndex key, SeenToken token) { remember(reads_[key], std::move(token)); }
    void remember_put(KeyIndex key, SeenToken token) { remember(puts_[key], std::move(token)); }

    std::optional<SeenToken> latest_read(KeyIndex key) const;
    std::optional<SeenToken> older_read(KeyIndex key, env::SimRandom& random) const;
    std::optional<SeenToken> latest_put(KeyIndex key) const;
    // A context that was given for another key of this client's.
    std::optional<std::string> of_another_key(KeyIndex key) const;

  private:
    static constexpr size_t remembered_max = 6;
    using Tokens = std::map<KeyIndex, std::deque<SeenToken>>;

    static void remember(std::deque<SeenToken>& tokens, SeenToken token);
    static std::optional<SeenToken> latest(const Tokens& tokens, KeyIndex key);

    Tokens reads_;
    Tokens puts_;
};

}  // namespace starling::sim
