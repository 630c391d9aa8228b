#pragma once

// Parts of the membership state on the wire: cutting them into messages of bounded size, and
// merging what a peer sent after checking it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "gossip/membership.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

// Collects parts into as many messages as needed, each of about `bytes_target` at most (one part
// may exceed it).
class DeltaWriter {
  public:
    explicit DeltaWriter(size_t bytes_target) : bytes_target_(bytes_target) {}

    void add(const MemberRecord& record);
    void add(const DeathCertificate& certificate);
    void add_item(std::string_view key, const SharedItem& item);
    void want_record(base::NodeId node);
    void want_item(std::string_view key);

    // Nothing added: no message.
    std::vector<peer::StateDelta> finish() { return std::move(messages_); }

  private:
    // The message that takes the next `size` bytes.
    peer::StateDelta& room_for(size_t size);

    size_t bytes_target_;
    size_t bytes_used_ = 0;
    std::vector<peer::StateDelta> messages_;
};

// What a merge brought.
struct StateChanges {
    std::vector<MemberRecord> records;
    std::vector<DeathCertificate> certificates;
    std::vector<std::string> items;
    // Records of the merging node itself: never merged, since it alone writes them.
    std::vector<MemberRecord> records_of_self;
    uint32_t conflicts = 0;
    uint32_t dead_refused = 0;
    // Parts that are not valid or exceed a limit: skipped.
    uint32_t refused = 0;

    bool empty() const { return records.empty() && certificates.empty() && items.empty(); }
};

void merge_into(Membership& membership,
                const google::protobuf::RepeatedPtrField<peer::DeathCertificate>& certificates,
                StateChanges& changes);
// Everything but what the sender wants.
void merge_into(Membership& membership,
                const peer::StateDelta& delta,
                base::NodeId self,
                StateChanges& changes);

// A part of everything: what is missing when it does not fit is the records at the end.
peer::StateDelta whole_state(const Membership& membership,
                             base::NodeId except,
                             size_t bytes_target);

void to_proto(const DeathCertificate& certificate, peer::DeathCertificate& out);
DeathCertificate from_proto(const peer::DeathCertificate& certificate);

}  // namespace starling::gossip
