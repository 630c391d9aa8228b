#include "tests/sim/session.h"

#include <utility>

namespace starling::sim {

std::optional<SeenToken> Session::latest_read(KeyIndex key) const {
    return latest(reads_, key);
}

std::optional<SeenToken> Session::latest_put(KeyIndex key) const {
    return latest(puts_, key);
}

std::optional<SeenToken> Session::older_read(KeyIndex key, env::SimRandom& random) const {
    const auto found = reads_.find(key);
    if (found == reads_.end() || found->second.empty()) return std::nullopt;
    return found->second[random.below(found->second.size())];
}

std::optional<std::string> Session::of_another_key(KeyIndex key) const {
    for (const auto& [other, tokens] : reads_) {
        if (other != key && !tokens.empty() && !tokens.back().token.empty())
            return tokens.back().token;
    }
    return std::nullopt;
}

void Session::remember(std::deque<SeenToken>& tokens, SeenToken token) {
    tokens.push_back(std::move(token));
    if (tokens.size() > remembered_max) tokens.pop_front();
}

std::optional<SeenToken> Session::latest(const Tokens& tokens, KeyIndex key) {
    const auto found = tokens.find(key);
    if (found == tokens.end() || found->second.empty()) return std::nullopt;
    return found->second.back();
}

}  // namespace starling::sim
