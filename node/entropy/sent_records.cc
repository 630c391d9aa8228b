#include "node/entropy/sent_records.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"

namespace starling::node {

std::vector<SentRecords::Session>::iterator SentRecords::find(const Question& question) {
    return std::find_if(sessions_.begin(), sessions_.end(), [&](const Session& session) {
        return session.last.from == question.from && session.last.session == question.session;
    });
}

RecordFingerprints SentRecords::take(const Question& question) {
    auto session = find(question);
    if (session == sessions_.end()) {
        if (sessions_.size() == sessions_max) {
            STARLING_MARK(entropy_forgets_what_it_sent);
            sessions_.erase(sessions_.begin());
        }
        sessions_.emplace_back().last = question;
        return {};
    }
    std::rotate(session, session + 1, sessions_.end());
    Session& known = sessions_.back();
    if (question.request < known.last.request) return {};
    if (question.request == known.last.request) {
        STARLING_MARK(entropy_page_asked_for_again);
        known.is_single = false;
        return std::exchange(known.merged, {});
    }
    if (known.is_single && question.request == known.last.request + 1) {
        for (const absl::uint128& fingerprint : known.page) {
            if (known.merged.size() < records_max) known.merged.insert(fingerprint);
        }
    }
    known.last = question;
    known.is_single = true;
    known.page.clear();
    return std::exchange(known.merged, {});
}

void SentRecords::answered(const Question& question,
                           RecordFingerprints taken,
                           std::vector<absl::uint128> page) {
    const auto session = find(question);
    if (session == sessions_.end()) return;
    if (session->merged.size() < taken.size()) {
        session->merged = std::move(taken);
    }
    if (session->last.request == question.request) {
        session->page = std::move(page);
    }
}

void SentRecords::end(const Question& question) {
    const auto session = find(question);
    if (session != sessions_.end()) sessions_.erase(session);
}

}  // namespace starling::node
