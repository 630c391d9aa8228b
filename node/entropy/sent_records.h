#pragma once

// What each session that asks for missing writes was sent, so that the record of a key of which it
// lacks many writes travels once, and not with every page that names one of them.
//
// A session asks for a page when it has merged the one before. Where a question came twice, nobody
// knows which of the two answers that was, and neither counts; nor does the first page, whose
// question may have come before and be forgotten. What does not count travels again.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/replica/group_access.h"

namespace starling::node {

class SentRecords {
  public:
    struct Question {
        base::NodeId from;
        // Drawn at random, of one group.
        uint64_t session = 0;
        // Rises by one from page to page.
        uint64_t request = 0;
    };

    // What the asker has merged. It is not known here until the question was answered.
    RecordFingerprints take(const Question& question);
    // Gives back what was taken, and notes the records of the page that is sent now.
    void answered(const Question& question,
                  RecordFingerprints taken,
                  std::vector<absl::uint128> page);
    // The session has no more to ask.
    void end(const Question& question);

    // Of those asked last; about 24 B for each record of a session.
    static constexpr size_t sessions_max = 64;
    static constexpr size_t records_max = 16 << 10;

  private:
    struct Session {
        Question last;
        // `last` came once, and no more.
        bool is_single = false;
        RecordFingerprints merged;
        // Sent as the answer to `last`.
        std::vector<absl::uint128> page;
    };

    std::vector<Session>::iterator find(const Question& question);

    // The one asked last comes last.
    std::vector<Session> sessions_;
};

}  // namespace starling::node
