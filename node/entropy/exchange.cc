#include "node/entropy/exchange.h"

#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/mark.h"

namespace starling::node {

namespace {

// Of any size, where the answer to a check is small.
bool brings_data(peer::EntropyMessage::BodyCase answer) {
    return answer != peer::EntropyMessage::kChecked && answer != peer::EntropyMessage::kGroups;
}

}  // namespace

Exchange::Exchange(EntropyRuntime& runtime, base::NodeId peer)
    : runtime_(runtime), peer_(peer), session_(runtime.random.next_id()) {
    runtime_.exchanges[session_] = this;
}

Exchange::~Exchange() {
    runtime_.loop.cancel(timer_);
    runtime_.exchanges.erase(session_);
}

void Exchange::ask(GroupId group,
                   peer::EntropyMessage question,
                   peer::EntropyMessage::BodyCase expected,
                   Answer answer) {
    STARLING_CHECK(!is_open_);
    question.set_session(session_);
    question.set_request(question_.request() + 1);
    question.set_partition(group.partition.raw());
    question.set_replicas(group.replicas);
    question_ = std::move(question);
    expected_ = expected;
    answer_ = std::move(answer);
    is_open_ = true;
    asked_ = runtime_.loop.now();
    tries_ = 0;
    ask_when_due();
}

void Exchange::ask_when_due() {
    const base::MonotonicTime now = runtime_.loop.now();
    const base::Duration delay =
        brings_data(expected_)
            ? runtime_.pace.delay(now, now - asked_, runtime_.host.do_clients_wait())
            : base::Duration::zero();
    if (delay <= base::Duration::zero()) return send();
    STARLING_MARK(entropy_question_put_off);
    ++runtime_.counters.questions_put_off;
    timer_ = runtime_.loop.schedule_after(delay, [this] { ask_when_due(); });
}

void Exchange::send() {
    // What brings data may take long, and its answer to an earlier try is as good.
    const base::Duration patience =
        runtime_.options.request_timeout * (brings_data(expected_) ? 1 << tries_ : 1);
    ++tries_;
    timer_ = runtime_.loop.schedule_after(patience, [this] { on_timeout(); });
    runtime_.send(peer_, question_);
}

void Exchange::on_timeout() {
    if (tries_ < runtime_.options.tries_max) {
        STARLING_MARK(entropy_asks_again);
        return send();
    }
    STARLING_MARK(entropy_peer_is_silent);
    runtime_.silent_peers.insert(peer_);
    finish(absl::UnavailableError(fmt::format("node {} does not answer", to_string(peer_))),
           nullptr);
}

void Exchange::on_message(base::NodeId from, const peer::EntropyMessage& message) {
    if (!is_open_ || from != peer_ || message.request() != question_.request()) return;
    if (message.partition() != question_.partition() || message.replicas() != question_.replicas())
        return;
    runtime_.silent_peers.erase(peer_);
    if (message.body_case() == peer::EntropyMessage::kFailed) {
        STARLING_MARK(entropy_peer_refuses);
        // That trying again does not help is worth knowing; what else it says is not.
        const bool is_damaged =
            message.failed().code() == static_cast<uint32_t>(absl::StatusCode::kDataLoss);
        return finish(
            absl::Status(is_damaged ? absl::StatusCode::kDataLoss : absl::StatusCode::kUnavailable,
                         fmt::format("node {}: {}", to_string(peer_), message.failed().message())),
            nullptr);
    }
    if (message.body_case() != expected_) {
        ++runtime_.counters.malformed_messages;
        return finish(absl::InvalidArgumentError("an answer to another question"), nullptr);
    }
    if (instance_.value_or(message.instance()) != message.instance()) {
        STARLING_MARK(entropy_peer_has_begun_anew);
        return finish(absl::AbortedError(fmt::format("node {} has begun anew", to_string(peer_))),
                      nullptr);
    }
    instance_ = message.instance();
    if (brings_data(expected_)) {
        runtime_.pace.brought(runtime_.loop.now(), message.ByteSizeLong());
    }
    finish(absl::OkStatus(), &message);
}

void Exchange::finish(const absl::Status& status, const peer::EntropyMessage* message) {
    runtime_.loop.cancel(timer_);
    is_open_ = false;
    // The callback may ask again, or destroy this object.
    Answer answer = std::move(answer_);
    answer(status, message);
}

}  // namespace starling::node
