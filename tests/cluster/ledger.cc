#include "tests/cluster/ledger.h"

#include <algorithm>

#include <fmt/format.h>

namespace starling::cluster_test {

void Ledger::add(const std::string& key, Write write) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back({key, std::move(write)});
}

size_t Ledger::count(Outcome outcome) const {
    absl::MutexLock lock(&mutex_);
    return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
        return e.write.outcome == outcome;
    }));
}

size_t Ledger::acknowledged() const {
    return count(Outcome::acknowledged);
}

size_t Ledger::unknown() const {
    return count(Outcome::unknown);
}

std::vector<std::string> Ledger::keys() const {
    absl::MutexLock lock(&mutex_);
    std::set<std::string> keys;
    for (const Entry& entry : entries_) {
        keys.insert(entry.key);
    }
    return {keys.begin(), keys.end()};
}

std::vector<std::string> Ledger::check(const std::string& key,
                                       const std::set<std::string>& values) const {
    std::set<std::string> acknowledged;
    std::set<std::string> possible;
    std::set<std::string> maybe_gone;
    std::set<std::string> certainly_gone;
    {
        absl::MutexLock lock(&mutex_);
        for (const auto& [entry_key, write] : entries_) {
            if (entry_key != key || write.outcome == Outcome::refused) {
                continue;
            }
            if (!write.value.empty()) {
                possible.insert(write.value);
            }
            maybe_gone.insert(write.replaces.begin(), write.replaces.end());
            maybe_gone.insert(write.may_replace.begin(), write.may_replace.end());
            if (write.outcome == Outcome::acknowledged) {
                certainly_gone.insert(write.replaces.begin(), write.replaces.end());
                if (!write.value.empty()) {
                    acknowledged.insert(write.value);
                }
            }
        }
    }
    std::vector<std::string> wrong;
    for (const std::string& value : acknowledged) {
        if (!values.contains(value) && !maybe_gone.contains(value)) {
            wrong.push_back(fmt::format("{}: lost {}", key, value));
        }
    }
    for (const std::string& value : values) {
        if (!possible.contains(value)) {
            wrong.push_back(fmt::format("{}: invented {}", key, value));
        } else if (certainly_gone.contains(value)) {
            wrong.push_back(fmt::format("{}: resurrected {}", key, value));
        }
    }
    return wrong;
}

}  // namespace starling::cluster_test
