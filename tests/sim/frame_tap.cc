#include "tests/sim/frame_tap.h"

#include <utility>

#include "starling/peer/envelope.pb.h"

namespace starling::sim {

namespace {

constexpr size_t shown_max = 240;

}  // namespace

absl::Status FrameTap::send(const env::Address& to, std::string frame) {
    show(to, frame);
    return transport_.send(to, std::move(frame));
}

absl::Status FrameTap::reply(env::ConnectionId connection, std::string frame) {
    show("whom it answers", frame);
    return transport_.reply(connection, std::move(frame));
}

void FrameTap::show(std::string_view to, const std::string& frame) {
    if (!trace_.shows_frames()) return;
    peer::Envelope envelope;
    if (!envelope.ParseFromString(frame)) return;
    // Gossip is most of the frames and least of the news.
    if (envelope.has_gossip()) return;
    std::string text =
        envelope.has_handover()  ? "handover " + envelope.handover().ShortDebugString()
        : envelope.has_entropy() ? "entropy " + envelope.entropy().ShortDebugString()
                                 : "replica " + envelope.replica().ShortDebugString();
    if (text.size() > shown_max) text.resize(shown_max);
    trace_.add("{} -> {} {} B {}", name_, to, frame.size(), text);
}

}  // namespace starling::sim
