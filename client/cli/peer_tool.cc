#include "client/cli/peer_tool.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "env/posix/loop.h"
#include "env/posix/transport.h"
#include "starling/peer/envelope.pb.h"

namespace starling::client {

namespace {

constexpr base::Duration look_interval = std::chrono::milliseconds(20);
constexpr base::Duration resend_interval = std::chrono::seconds(1);
constexpr uint32_t code_max = static_cast<uint32_t>(absl::StatusCode::kUnauthenticated);

absl::StatusOr<JoinAnswer> read_answer(const peer::Envelope& envelope) {
    const peer::JoinDone& done = envelope.gossip().join_done();
    if (done.code() != 0) {
        const auto code = done.code() <= code_max ? static_cast<absl::StatusCode>(done.code())
                                                  : absl::StatusCode::kUnknown;
        return base::make_error(code, done.reason(), done.message());
    }
    return JoinAnswer{.node_id = envelope.from(),
                      .cluster_id = done.cluster(),
                      .member_count = done.members(),
                      .client_address = done.message()};
}

// Lives on its loop, which runs until there is an answer.
class JoinTool {
  public:
    JoinTool(const JoinOrder& order, env::Random& random)
        : order_(order),
          transport_(loop_,
                     random,
                     {.secret = order.secret, .backoff_max = std::chrono::milliseconds(100)}) {}

    absl::StatusOr<JoinAnswer> run() {
        transport_.set_handler([this](const env::Delivery& delivery) { on_frame(delivery.frame); });
        STARLING_RETURN_IF_ERROR(transport_.start());
        give_up_at_ = loop_.now() + order_.timeout;
        loop_.post([this] { send(); });
        loop_.post([this] { look(); });
        loop_.run();
        return *std::move(answer_);
    }

  private:
    void send() {
        peer::Envelope envelope;
        envelope.mutable_gossip()->mutable_join_cluster()->set_address(order_.known);
        sent_at_ = loop_.now();
        const absl::Status status = transport_.send(order_.node, envelope.SerializeAsString());
        if (!status.ok()) {
            finish(status);
        }
    }

    void look() {
        if (answer_.has_value()) {
            return;
        }
        const absl::Status peer = transport_.peer_status(order_.node);
        if (absl::IsPermissionDenied(peer)) {
            return finish(base::make_error(
                absl::StatusCode::kPermissionDenied,
                base::reason::wrong_secret,
                fmt::format("{}: the node holds another cluster secret", order_.node)));
        }
        if (loop_.now() >= give_up_at_) {
            return finish(peer.ok() ? base::make_error(absl::StatusCode::kDeadlineExceeded,
                                                       base::reason::deadline,
                                                       fmt::format("{}: no answer", order_.node))
                                    : peer);
        }
        if (!peer.ok() && ++looks_unreached_ > 50) {
            return finish(
                absl::UnavailableError(fmt::format("{}: no node answers at this peer address: {}",
                                                   order_.node,
                                                   std::string(peer.message()))));
        }
        // Frames that wait for a connection are dropped when it cannot be made.
        if (!peer.ok() && loop_.now() >= sent_at_ + resend_interval / 4) {
            send();
        }
        loop_.schedule_after(look_interval, [this] { look(); });
    }

    void on_frame(std::string_view frame) {
        peer::Envelope envelope;
        if (envelope.ParseFromArray(frame.data(), static_cast<int>(frame.size())) &&
            envelope.has_gossip() && envelope.gossip().has_join_done()) {
            finish(read_answer(envelope));
        }
    }

    void finish(absl::StatusOr<JoinAnswer> answer) {
        if (!answer_.has_value()) {
            answer_ = std::move(answer);
            transport_.stop();
            loop_.stop();
        }
    }

    const JoinOrder& order_;
    env::PosixLoop loop_;
    env::PosixTransport transport_;
    base::MonotonicTime give_up_at_;
    base::MonotonicTime sent_at_;
    int looks_unreached_ = 0;
    std::optional<absl::StatusOr<JoinAnswer>> answer_;
};

}  // namespace

absl::StatusOr<JoinAnswer> order_join(const JoinOrder& order, env::Random& random) {
    return JoinTool(order, random).run();
}

}  // namespace starling::client
