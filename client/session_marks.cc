#include "client/session_marks.h"

namespace starling::client {

SessionMarks::Name SessionMarks::name_of(const std::string& name_space, const std::string& key) {
    return {name_space.empty() ? "default" : name_space, key};
}

SessionMarks::Sent SessionMarks::of(const std::string& name_space, const std::string& key) const {
    absl::MutexLock lock(&mutex_);
    Sent sent{.token = {}, .up_to = last_serial_};
    const auto found = keys_.find(name_of(name_space, key));
    if (found != keys_.end()) {
        for (const Token& token : found->second.tokens) {
            sent.token += token.bytes;
        }
    }
    return sent;
}

void SessionMarks::learn(const std::string& name_space,
                         const std::string& key,
                         uint64_t up_to,
                         std::string token) {
    if (token.empty()) {
        return;
    }
    absl::MutexLock lock(&mutex_);
    const Name name = name_of(name_space, key);
    const auto [found, is_new] = keys_.try_emplace(name);
    Key& known = found->second;
    if (is_new) {
        known.place = by_use_.insert(by_use_.end(), name);
    } else {
        by_use_.splice(by_use_.end(), by_use_, known.place);
    }
    while (!known.tokens.empty() && known.tokens.front().serial <= up_to) {
        known.bytes -= known.tokens.front().bytes.size();
        known.tokens.pop_front();
    }
    known.bytes += token.size();
    known.tokens.push_back({.serial = ++last_serial_, .bytes = std::move(token)});
    while (known.bytes > bytes_per_key_max && known.tokens.size() > 1) {
        known.bytes -= known.tokens.front().bytes.size();
        known.tokens.pop_front();
        ++forgotten_;
    }
    if (keys_.size() > keys_max_) {
        keys_.erase(by_use_.front());
        by_use_.pop_front();
        ++forgotten_;
    }
}

std::vector<SessionMark> SessionMarks::all() const {
    absl::MutexLock lock(&mutex_);
    std::vector<SessionMark> marks;
    for (const Name& name : by_use_) {
        SessionMark& mark = marks.emplace_back();
        mark.name_space = name.first;
        mark.key = name.second;
        for (const Token& token : keys_.at(name).tokens) {
            mark.token += token.bytes;
        }
    }
    return marks;
}

uint64_t SessionMarks::forgotten() const {
    absl::MutexLock lock(&mutex_);
    return forgotten_;
}

}  // namespace starling::client
